"""The sentence on what was computed outside of networks, and where it is shown."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.report import html
from nasfuse.report.outside import outside_note
from nasfuse.spec.data import DataConfig

TEXT = {"kind": "text_features", "folder": "tiny"}
GIVEN = {"kind": "vector", "outside_macs": 5}
TAIL = ", which are not part of MACs but of total MACs"


def front(*macs):
    return [SimpleNamespace(measured=SimpleNamespace(outside_macs=value)) for value in macs]


@pytest.mark.parametrize(
    ("macs", "modalities", "expected"),
    [
        ((4_100_000_000,) * 2, {"title": TEXT}, "+ 4.1 GMACs per sample of the frozen encoder of title"),
        (
            (0, 2_000_000),
            {"title": TEXT, "name": TEXT},
            "+ 0 to 2 MMACs per sample of the frozen encoders of title and name",
        ),
        ((1000, 2000), {"scene": GIVEN}, "+ 1 kMACs to 2 kMACs per sample of features computed outside"),
        (
            (7,),
            {"title": TEXT, "scene": GIVEN},
            "+ 7 MACs per sample of the frozen encoder of title and of features computed outside",
        ),
    ],
)
def test_size_and_origin(macs, modalities, expected):
    data = DataConfig.parse({"source": "x.csv", "modalities": modalities})
    assert outside_note(front(*macs), data) == expected + TAIL


def test_nothing_is_said_where_nothing_is_computed(make_run, tmp_path):
    assert outside_note(front(0, 0), DataConfig.parse({"source": "x.csv", "modalities": {"title": TEXT}})) is None
    run = read_run(make_run(tmp_path / "run", [(0.5, 100)]))
    html.write_report(tmp_path / "report.html", run)
    assert "total MACs" not in (tmp_path / "report.html").read_text()


def test_the_report_has_the_sum(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 100)]))
    (member,) = run.progress.front
    there = replace(member, measured=replace(member.measured, outside_macs=4_100_000_000))
    run = replace(run, progress=replace(run.progress, front=[there], best=there))
    html.write_report(tmp_path / "report.html", run)
    text = (tmp_path / "report.html").read_text()
    assert "<th scope=col class=n>total MACs" in text
    assert '<td class=n data-label=MACs>100<td class=n data-label="total MACs">4,100,000,100' in text
    assert "<p>+ 4.1 GMACs per sample of" in text
