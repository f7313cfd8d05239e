"""The command line. Heavy packages are imported inside the verb that needs them."""

import sys


def main() -> None:
    """Runs `nasfuse`; exits 0 on success, 1 where running failed, 2 where the user can correct the input."""
    from nasfuse.cli.app import app
    from nasfuse.cli.console import explain
    from nasfuse.errors import NasfuseError

    try:
        app()
    except NasfuseError as error:
        explain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
