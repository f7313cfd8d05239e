"""Categories, classes and groups of which a data set has several spellings, such as East and east."""

from collections import Counter
from collections.abc import Iterator

from nasfuse.data.columns.table import guess_type
from nasfuse.data.raw_table import RawTable, texts
from nasfuse.errors import counted
from nasfuse.spec.data import DataConfig
from nasfuse.spec.modality import TableConfig
from nasfuse.tasks import task_kind

#: Most names of which one sentence lists the spellings.
_MOST_NAMED = 5


def spelling_findings(raw: RawTable, config: DataConfig) -> list[str]:
    """Returns one sentence for each column with names that differ only in case or spaces, which are not the same.

    Args:
        raw: Columns or arrays.
        config: Description of the data.
    """
    findings = []
    for column, noun in _named_columns(raw, config):
        alike = [" and ".join(f"{name!r} ({counted(n, 'row')})" for name, n in one) for one in _spellings(raw, column)]
        if alike:
            shown = "; ".join(alike[:_MOST_NAMED])
            more = f"; and {len(alike) - _MOST_NAMED} more" if len(alike) > _MOST_NAMED else ""
            findings.append(
                f"{raw.place(column)}: {noun} that differ only in case or spaces are different ones: {shown}{more}; "
                "write them alike if they mean the same"
            )
    return findings


def _named_columns(raw: RawTable, config: DataConfig) -> Iterator[tuple[str, str]]:
    """Yields the columns of words that are compared as they are, and what the words name."""
    tables = [entry for entry in config.modalities.values() if isinstance(entry, TableConfig)]
    for column, kind in ((column, kind) for entry in tables for column, kind in entry.columns.items()):
        if kind == "category" or (kind == "auto" and guess_type(raw.columns[column]) == "category"):
            yield column, "categories"
    if task_kind(config.task).takes_words and len(config.targets) == 1:
        yield config.targets[0], "classes"
    if config.group is not None:
        yield config.group, "groups"


def _spellings(raw: RawTable, column: str) -> list[list[tuple[str, int]]]:
    """Returns the spellings, with their numbers of rows and the most frequent first, of names that have several."""
    values = raw.columns[column]
    if values.ndim != 1 or values.dtype.kind not in "OU":
        return []
    alike: dict[str, list[tuple[str, int]]] = {}
    for name, count in Counter(texts(values)).most_common():
        alike.setdefault(" ".join(name.casefold().split()), []).append((name, count))
    return [one for one in alike.values() if len(one) > 1]
