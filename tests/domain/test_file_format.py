"""Numbers of file formats: this version's is accepted, and every other one is refused."""

import pytest

from nasfuse.domain.file_format import FORMAT, check_format
from nasfuse.errors import CheckpointError, RunFolderError


def test_the_format_of_this_version():
    check_format("runs/x", FORMAT, advice="search again", error=RunFolderError)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, f"an earlier version of nasfuse (it has no format number, and this version reads format {FORMAT})"),
        (FORMAT - 1, f"an earlier version of nasfuse (its format is {FORMAT - 1}, and this version reads"),
        (FORMAT + 1, f"a later version of nasfuse (its format is {FORMAT + 1}, and this version reads"),
        ("rubbish", "an earlier version of nasfuse (its format is rubbish, and this version reads"),
    ],
)
@pytest.mark.parametrize("error", [RunFolderError, CheckpointError])
def test_other_formats(found, expected, error):
    with pytest.raises(error, match=r"^runs/x was written by .*; search again$") as raised:
        check_format("runs/x", found, advice="search again", error=error)
    assert expected in str(raised.value)
