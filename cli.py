"""Launches the nasfuse command line from a checkout: `python cli.py ...` is `nasfuse ...`."""

from nasfuse.cli import main

if __name__ == "__main__":
    main()
