"""`nasfuse compare`."""

import pytest


@pytest.fixture
def other(make_run, tmp_path):
    return make_run(tmp_path / "other", [(0.5, 100), (0.97, 1000)]).root


def test_the_table(nasfuse, run_folder, other):
    ran = nasfuse("compare", run_folder, other)
    assert ran.code == 0
    assert "1 kMACs on: other" in ran.out
    assert "Reference point of all hypervolumes: accuracy " in ran.out
    assert "not comparable" not in ran.out


def test_json_and_files(nasfuse, run_folder, other, tmp_path):
    ran = nasfuse("compare", run_folder, other, "--plot", "f.svg", "--html", "f.html", "--json")
    assert set(ran.json["runs"]) == {run_folder.name, "other"}
    assert ran.json["spans"][-1] == {"from": 1000, "to": None, "leaders": ["other"]}
    assert (tmp_path / "f.svg").is_file()
    assert (tmp_path / "f.html").is_file()


def test_refusals(refuses, run_folder, other):
    assert "compare needs two or more different runs" in refuses("compare", run_folder)
    assert "f.txt" in refuses("compare", run_folder, other, "--plot", "f.txt")
