"""A countdown that does not depend on the clock."""

import math

from nasfuse.experiment.countdown import Countdown


class Asked(Countdown):
    """Has time left a number of times.

    Attributes:
        times: How often time is still left.
        seconds: The seconds that were asked for.
    """

    def __init__(self, times):
        super().__init__(math.inf)
        self.times = times
        self.seconds = []

    def has(self, seconds=0.0):
        self.seconds.append(seconds)
        self.times -= 1
        return self.times >= 0
