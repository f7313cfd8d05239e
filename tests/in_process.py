"""Searches without Ray: trials run in the process of the test."""

import contextlib

from nasfuse.backends.objective import Task
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining


class InProcess:
    """Runs every trial in this process when a simulated worker gets it; its result is known an epoch later."""

    capacity = 2

    def open(self, objective, *, resources, folder_of, scratch):
        def train(assignment):
            task = Task.of(assignment, folder_of=folder_of)
            outcome = task.run(objective, report=lambda *_: None, report_lost_inheritance=lambda _: None)
            return SimulatedTraining((), outcome)

        return contextlib.nullcontext(SimulatedBackend(train, capacity=self.capacity))
