"""Text files with separated values: `.csv` and `.tsv`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.frame import raw_of_frame
from nasfuse.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: Number of rows in which whole numbers that begin with 0 are looked for.
_LOOK_AT = 1000


def read_csv(path: Path) -> RawTable:
    """Returns the table of a `.csv` file in UTF-8.

    It is separated by commas, or, if its first line has semicolons and no comma, by semicolons, with decimal commas.

    Raises:
        DataError: The file is damaged.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
    except UnicodeDecodeError:
        header = ""
    return _read(path, ";", decimal=",") if ";" in header and "," not in header else _read(path, ",")


def read_tsv(path: Path) -> RawTable:
    """Returns the table of a `.tsv` file in UTF-8, separated by tabulators.

    Raises:
        DataError: The file is damaged.
    """
    return _read(path, "\t")


def _read(path: Path, separator: str, *, decimal: str = ".") -> RawTable:
    import pandas as pd  # slow to import, and few data need it

    options: dict[str, Any] = {"sep": separator, "decimal": decimal, "encoding": "utf-8-sig", "index_col": False}
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, **options).iloc[0].dropna()
        codes = dict.fromkeys(_codes(pd.read_csv(path, nrows=_LOOK_AT, dtype=str, **options)), str)
        # without the check of all rows at once, a column with a few words among numbers has mixed types by chunk
        frame = pd.read_csv(path, low_memory=False, dtype=codes, **options)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} is empty; write the names of the columns, and a line for each row") from error
    except (ValueError, OSError) as error:  # pandas' ParserError is a ValueError
        reason = str(error).replace("Error tokenizing data. C error: ", "").strip()
        raise DataError(f"{path} is no table that can be read: {reason}; correct the file") from error
    repeated = header[header.duplicated()]
    if len(repeated):
        raise DataError(f"{path} has several columns called {repeated.iloc[0]!r}; give them different names")
    return raw_of_frame(frame, name=path.stem, origin=path.name, folder=path.parent)


def _codes(frame: "pd.DataFrame") -> list[str]:
    """Returns the columns with a whole number that begins with 0, such as postcodes, which are no numbers."""
    return [name for name in frame.columns if frame[name].dropna().str.fullmatch(r"0\d+").any()]
