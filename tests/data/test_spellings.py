"""Several spellings of one name."""

import numpy as np
import pandas as pd
import pytest

from nasfuse.data.sources.function import as_raw
from nasfuse.data.spellings import spelling_findings
from nasfuse.spec.data import DataConfig, expand_modalities

N = 12


def findings(*, kind="category", task="multiclass", group=None, **columns):
    frame = pd.DataFrame({"shop": ["n", "s"] * (N // 2), "y": ["a", "b"] * (N // 2), **columns})
    table = {"kind": "table", "columns": {"shop": kind}}
    plain = {"source": "x", "modalities": {"t": table}, "task": task, "group": group}
    config = DataConfig.parse(expand_modalities({"data": plain})["data"])
    return spelling_findings(as_raw(frame, name="t.csv"), config)


@pytest.mark.parametrize("kind", ["category", "auto"])
def test_categories(kind):
    assert findings(kind=kind) == []
    assert findings(kind=kind, shop=["East", " east", "West"] * (N // 3)) == [
        "column shop of t.csv: categories that differ only in case or spaces are different ones: 'East' (4 rows) and "
        "'east' (4 rows); write them alike if they mean the same"
    ]


def test_spaces_at_the_ends_alone_are_the_same_category():
    assert findings(shop=["East", " East", "West "] * (N // 3)) == []


def test_spaces_inside_and_other_letters():
    (found,) = findings(shop=["New York", "New  York", "STRASSE", "straße"] * (N // 4))
    assert "'New York' (3 rows) and 'New  York' (3 rows); 'STRASSE' (3 rows) and 'straße' (3 rows); write" in found


def test_many_are_counted():
    (found,) = findings(shop=[*"abcdef", *"ABCDEF"])
    assert "'e' (1 row) and 'E' (1 row); and 1 more; write them alike" in found


def test_classes_and_groups():
    classes, groups = findings(y=["a", "A"] * (N // 2), group="who", who=["p", "P", "q"] * (N // 3))
    assert classes.startswith("column y of t.csv: classes that differ only in case or spaces are different ones: 'a' (")
    assert groups.startswith("column who of t.csv: groups that differ only in case or spaces are different ones: 'p' (")


def test_numbers_and_texts_are_not_compared():
    assert findings(kind="number", task="regression", shop=np.arange(N), y=np.arange(N)) == []
