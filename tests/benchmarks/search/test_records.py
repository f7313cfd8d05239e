from pathlib import Path

from benchmarks.search.records import Job, Records
from benchmarks.search.simulation import Run

JOB = Job("problem", "engine", 0, full_trainings=100)


def test_a_run_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "records.jsonl"
    Records(path).add(JOB, Run(steps=[(3.0, 0.5)], epochs=3.0, n_complete=1, suggestion_s=[0.1]))
    again = Records(path)
    assert again.missing([JOB, Job("problem", "engine", 1, trials=5)]) == [Job("problem", "engine", 1, trials=5)]
    assert again[JOB].n_complete == 1
    assert [tuple(step) for step in again[JOB].steps] == [(3.0, 0.5)]


def test_a_line_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    Records(path).add(JOB, Run())
    path.write_text(path.read_text() + path.read_text()[:-20].replace('"seed": 0', '"seed": 1'))
    assert len(Records(path).missing([JOB, Job("problem", "engine", 1, full_trainings=100)])) == 1
