"""Messages of the library in the words of Python."""

import inspect
import re
from pathlib import Path

import pytest

import nasfuse
from nasfuse.api import draft_study, search
from nasfuse.api.run import Criteria
from nasfuse.api.wording import errors_in_python, in_python
from nasfuse.errors import ConfigError, Problem, RunFolderError


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("raise --trials or --minutes", "raise trials or minutes"),
        ("choose another folder with -o, or none", "choose another folder with output, or none"),
        ("more need a new study (-o)", "more need a new study (output)"),
        ("--min-metric must be a number", "min_metric must be a number"),
        ("start it with `ray start --head` or without", "start it with `ray start --head` or without"),
        ("a-o, /data/--x and -other stay, as does 1 --- 2", "a-o, /data/--x and -other stay, as does 1 --- 2"),
    ],
)
def test_options_become_arguments(message, expected):
    assert in_python(message) == expected


def test_errors_keep_their_type_and_their_attributes():
    with pytest.raises(RunFolderError, match=r"^raise max_macs$"), errors_in_python():
        raise RunFolderError("raise --max-macs")
    with pytest.raises(ConfigError, match=r"x has 1 problem:\n  a: see target$") as caught, errors_in_python():
        raise ConfigError("x", [Problem("a", "see --target")])
    assert caught.value.source == "x"


def test_what_a_search_says_has_an_argument_of_that_name():
    """Options that messages name in modules of which a search or its results are made."""
    known = {*inspect.signature(search).parameters, *inspect.signature(draft_study).parameters}
    known |= {*Criteria.__annotations__}
    root = Path(nasfuse.__file__).parent
    files = [*root.glob("search/*.py"), *root.glob("backends/*.py"), root / "export" / "point.py"]
    files += [root / "experiment" / name for name in ("run.py", "run_folder.py", "no_result.py")]
    files += [root / "data" / name for name in ("draft.py", "sources/registry.py")]
    texts = [re.sub(r"`[^`]*`", "", file.read_text(encoding="utf-8")) for file in files]
    found = [option for text in texts for option in re.findall(r"(?<=[ (\"])--([a-z][a-z-]*)(?=[ ,;:.)\"])", text)]
    options = {option.replace("-", "_") for option in found}
    assert {"trials", "max_macs", "target"} <= options, "they were found"
    assert options <= known
