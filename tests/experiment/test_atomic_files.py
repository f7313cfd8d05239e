"""Files that are written atomically."""

import errno
import os
from pathlib import Path

import pytest

from nasfuse.errors import InvalidInputError
from nasfuse.experiment.atomic_files import replacing, write_text


def test_what_was_there_stays_where_writing_fails(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "before")
    with pytest.raises(KeyError, match="cut off"), replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyError("cut off")
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "before"


def test_a_folder_in_its_place_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="is a folder; give the name of a file"):
        write_text(tmp_path, "x")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_errors_name_the_file_and_not_the_temporary_one(tmp_path, monkeypatch, number):
    """On a file system that cannot be written, the temporary file can be neither written nor removed."""

    def fail(self, *_arguments, **_options):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_text", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(OSError, match=f"'{tmp_path / 'a.txt'}'$"):
        write_text(tmp_path / "a.txt", "x")
