"""Deaths of the processes of a training, and how many of them a trial survives."""

from dataclasses import dataclass

#: Deaths of its worker after which a trial has failed.
MAX_WORKER_DEATHS = 3

#: Deaths of its driver after which a trial has failed. All trials that run share such a death, which is most often the
#: fault of none: a computer that is switched off, a job at its time limit, `kill -9`. But a training that takes all
#: memory of a machine may kill the driver, and would do so in every session, so there is a limit. A search that is
#: often killed does not reach it, as an epoch between two deaths is progress.
MAX_DRIVER_DEATHS = 10


@dataclass(frozen=True)
class Deaths:
    """Deaths of the processes of a training, after it had begun and without progress since the last one.

    A death before that says nothing about the network, and an orderly end of the driver is none.

    Attributes:
        of_worker: Number of deaths of its worker while the driver lived.
        of_driver: Number of deaths of its driver.
    """

    of_worker: int = 0
    of_driver: int = 0

    def __add__(self, other: "Deaths") -> "Deaths":
        """Returns the deaths of both."""
        return Deaths(self.of_worker + other.of_worker, self.of_driver + other.of_driver)

    @property
    def too_many(self) -> str | None:
        """Why the trial has failed; None if it runs again."""
        if self.of_worker >= MAX_WORKER_DEATHS:
            return f"its process died {MAX_WORKER_DEATHS} times without progress"
        if self.of_driver >= MAX_DRIVER_DEATHS:
            return f"the search died {MAX_DRIVER_DEATHS} times while it was trained, without progress"
        return None
