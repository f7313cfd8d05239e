"""The report: one file that needs nothing else, with nothing in it taken for markup."""

import json
import re
from html.parser import HTMLParser

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.report.html import write_report


class Texts(HTMLParser):
    """Collects what a reader sees, and every address the page would load."""

    def __init__(self):
        super().__init__()
        self.texts = []
        self.loaded = []
        self.hidden = None

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href")]
        self.hidden = tag if tag in ("script", "style") else self.hidden

    def handle_endtag(self, tag):
        self.hidden = None if tag == self.hidden else self.hidden

    def handle_data(self, data):
        if self.hidden is None:
            self.texts.append(data)


def read(path):
    parser = Texts()
    parser.feed(path.read_text(encoding="utf-8"))
    return " ".join(" ".join(parser.texts).split()), parser.loaded


def test_what_it_says(make_run, tmp_path):
    folder = make_run(
        tmp_path / "run", [(0.5, 100), (0.4, 200), (0.9, 1000), "ValueError: <b>5</b> & more", (0.95, 2000)]
    )
    write_report(folder.report_file, read_run(folder))
    text, loaded = read(folder.report_file)
    assert loaded == [], "it needs nothing else"
    for part in (
        "accuracy on validation data against MACs per sample (expected)",
        "The test split was not used.",
        "4 complete, 1 failed",
        "3 points",
        "0.9500",
        "8 spent, 4 saved",
        "(one [stream]: left)",
        "trial 3: ValueError: <b>5</b> & more",
    ):
        assert part in text
    assert re.search(r"both .*Hand-made|Hand-made designs", text)


@pytest.mark.parametrize("results", [[], ["it broke"], [(0.5, 100)]])
def test_of_a_search_that_has_just_begun(make_run, tmp_path, results):
    folder = make_run(tmp_path / "run", results)
    write_report(tmp_path / "elsewhere" / "r.html", read_run(folder))
    text, _ = read(tmp_path / "elsewhere" / "r.html")
    assert "Front" in text


def test_members_whose_macs_differ_from_the_count_are_listed(make_run, tmp_path):
    folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000)])
    equal = {"macs_closed_form": {"v": 100}, "macs_counted": {"v": 100}, "macs_status": "equal"}
    differ = {"macs_closed_form": {"v": 1000}, "macs_counted": {"v": 1001}, "macs_status": "<differ>"}
    folder.macs_file.write_text(json.dumps({"0": equal, "1": differ}))
    write_report(folder.report_file, read_run(folder))
    text, _ = read(folder.report_file)
    assert "are equal for 1 of 2 members at the end of the last search" in text
    assert "trial 1: MACs of a full-length sample <differ> (v: 1,000 by formula, 1,001 counted)" in text
    assert "trial 0: MACs" not in text
