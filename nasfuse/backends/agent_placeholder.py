"""Program that stands in for an agent of Ray's raylet: it does nothing while the raylet lives.

It is run by its path, and imports nothing of nasfuse.
"""

import os
import time

#: Seconds between two looks for the raylet.
_INTERVAL_S = 1.0

if __name__ == "__main__":
    while os.getppid() == int(os.environ["RAY_RAYLET_PID"]):
        time.sleep(_INTERVAL_S)
