"""Runs the command line: `python -m nasfuse ...` is `nasfuse ...`."""

from nasfuse.cli import main

if __name__ == "__main__":
    main()
