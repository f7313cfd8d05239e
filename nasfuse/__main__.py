"""Runs the command line: `python -m nasfuse ...` is `nasfuse ...`."""

import sys

from nasfuse.cli import main

if __name__ == "__main__":
    sys.exit(main())
