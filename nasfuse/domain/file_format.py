"""Number of the format of the files that nasfuse writes: run folders, storages, training folders and checkpoints."""

from nasfuse.errors import NasfuseError

#: Number of the format; incremented whenever files of earlier versions can no longer be read.
FORMAT = 5


def check_format(what: object, found: object, *, advice: str, error: type[NasfuseError]) -> None:
    """Checks that a file has the format of this version.

    Args:
        what: Name of the file, folder or storage, for the message.
        found: Format number in the file; None if it has none.
        advice: Instruction for the user, the end of the message.
        error: Class of the error.

    Raises:
        NasfuseError: Another version of nasfuse has written the file; an instance of `error`.
    """
    if found == FORMAT:
        return
    version = "a later" if isinstance(found, int) and found > FORMAT else "an earlier"
    number = "it has no format number" if found is None else f"its format is {found}"
    raise error(
        f"{what} was written by {version} version of nasfuse ({number}, and this version reads format {FORMAT}); "
        f"{advice}"
    )
