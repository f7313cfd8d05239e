"""A driver hands out as many trials as the nodes have room for at that moment."""

from nasfuse.backends.base import Pause
from nasfuse.backends.outcome import Died
from nasfuse.experiment.driver import SearchDriver
from nasfuse.search.assignment import Assignment
from tests.experiment.test_driver import open_scheduler, training_of


class Growing:
    """A cluster of which nodes are lost and join while its trials run; every trial ends when it is told to."""

    can_grow = True

    def __init__(self):
        self.capacity = 0
        self.running = {}

    def hand_out(self, driver):
        """Starts trials until the driver gives none; returns why."""
        while isinstance(given := driver.next_trial(), Assignment):
            self.running[given.number] = given
        return given

    def end(self, driver, number, outcome=None):
        assignment = self.running.pop(number)
        driver.on_end(number, outcome or training_of(assignment).outcome)

    def run(self, driver):
        assert self.hand_out(driver) is Pause.WAIT, "for a first node"
        assert self.running == {}
        self.capacity = 1
        assert self.hand_out(driver) is Pause.WAIT
        assert list(self.running) == [0]
        self.capacity = 2
        self.hand_out(driver)
        assert list(self.running) == [0, 1], "a node has joined"
        self.capacity = 1
        self.end(driver, 1, Died())
        self.hand_out(driver)
        assert list(self.running) == [0], "the node is lost, and its trial waits for room"
        self.end(driver, 0)
        self.hand_out(driver)
        assert list(self.running) == [1], "what was interrupted comes first"
        self.capacity = 9
        self.hand_out(driver)
        assert list(self.running) == [1, 2, 3], "not more than the study may have under way"
        self.capacity = 0
        for number in (1, 2, 3):
            self.end(driver, number)
        assert self.hand_out(driver) is Pause.WAIT, "one trial is left, and there is no node"
        self.capacity = 1
        self.hand_out(driver)
        self.end(driver, 4)
        self.capacity = 0
        assert self.hand_out(driver) is Pause.DONE, "without a node, too"


def test_trials_follow_the_nodes():
    scheduler = open_scheduler(budget={"trials": 5}, stopping="off")
    SearchDriver(scheduler, n_workers=3).run(Growing())
    assert [trial.is_complete for trial in scheduler.trials()] == [True] * 5
