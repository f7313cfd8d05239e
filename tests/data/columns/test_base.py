"""Messages about values that cannot be used."""

import pytest

from nasfuse.data.columns.base import Problem, text_of


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([("photo", 0)], "photo 0"),
        ([("photo", 0), ("photo", 4)], "photo 0 (and 1 more: row 4)"),
        ([("photo", row) for row in range(13)], "photo 0 (and 12 more: rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...)"),
        ([("photo", 0), ("sound", 0)], "photo 0 (and 1 more: row 0 of sound)"),
        (
            [("photo", 0), ("sound", 2), ("photo", 3), ("sound", 5)],
            "photo 0 (and 3 more: rows 2, 5 of sound; row 3 of photo)",
        ),
    ],
)
def test_several_problems(cells, expected):
    assert text_of([Problem(row, column, f"{column} {row}") for column, row in cells]) == expected
