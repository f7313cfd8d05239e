"""The file with the format number in folders of searches and of trainings."""

from pathlib import Path

from nasfuse.domain.file_format import FORMAT, check_format
from nasfuse.errors import RunFolderError

#: Name of the file.
FORMAT_FILE = "format"


def write_format(folder: Path) -> None:
    """Writes the format number into a folder; call it before any other file is written."""
    (folder / FORMAT_FILE).write_text(f"{FORMAT}\n", encoding="utf-8")


def check_folder_format(folder: Path, *, advice: str) -> None:
    """Checks that a folder has the format of this version.

    Args:
        folder: Folder of a search or of trainings.
        advice: Instruction for the user, the end of the message.

    Raises:
        RunFolderError: Another version of nasfuse has written the folder.
    """
    file = folder / FORMAT_FILE
    found = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else None
    number = int(found) if found is not None and found.isdecimal() else found
    check_format(folder, number, advice=advice, error=RunFolderError)
