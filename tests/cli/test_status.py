"""`nasfuse status`."""

import subprocess
import sys
from pathlib import Path

import pytest

from nasfuse.backends.outcome import Stopped
from nasfuse.experiment.run_folder import RunFolder


def test_json(nasfuse, run_folder):
    ran = nasfuse("status", run_folder, "--json")
    assert ran.code == 0
    document = ran.json
    assert document["trials"] == {
        "complete": 4,
        "running": 1,
        "waiting": 0,
        "stopped": 0,
        "out_of_time": 0,
        "failed": 1,
        "over_max_macs": 0,
    }
    assert document["epochs"] == {"spent": 8, "saved": 4, "under_way": 0}
    assert document["hypervolume"] > 0
    assert document["seconds_per_suggestion"] > 0
    assert document["best"] == {"trial": 4, "point": 0, "label": "4", "metric": 0.95, "macs": 20_000}
    assert document["failures"] == {"3": "ValueError: shape [3, /4]"}


def test_text(nasfuse, run_folder):
    out = nasfuse("status", run_folder).out
    interrupted = "4 complete, 1 interrupted (the same search command continues them), 1 failed"
    for part in (interrupted, "8 spent, 4 saved", "0.9500 at 20,000 MACs, trial 4"):
        assert part in out
    assert "trial 3 failed  ValueError: shape [3, /4]" in out


def test_trainings_that_were_stopped(nasfuse, make_run, tmp_path):
    root = make_run(tmp_path / "run", [(0.5, 100), (0.4, 200), (0.9, 1000), 0.2, 0.3, (0.95, 20_000)]).root
    document = nasfuse("status", root, "--json").json
    assert (document["trials"]["stopped"], document["trials"]["over_max_macs"]) == (2, 0)
    assert document["epochs"] == {"spent": 4 * 2 + 2, "saved": 4 + 2, "under_way": 0}, "their recipe asks for two"
    out = nasfuse("status", root).out
    assert "4 complete, 2 stopped" in out
    assert "10 spent, 6 saved" in out
    assert nasfuse("pareto", root, "--json").json["front"][-1]["trial"] == 5


def test_trainings_that_the_end_of_the_time_stopped_are_told_apart(nasfuse, make_run, tmp_path):
    root = make_run(tmp_path / "run", [(0.5, 100), (0.4, 200), 0.2, Stopped(1, 0.3), Stopped(1, 0.6)]).root
    document = nasfuse("status", root, "--json").json
    assert (document["trials"]["stopped"], document["trials"]["out_of_time"]) == (1, 2)
    assert "2 complete, 1 stopped, 2 out of time" in nasfuse("status", root).out


def test_trainings_from_inherited_weights(nasfuse, make_run, run_folder, tmp_path):
    root = make_run(tmp_path / "inheriting", [(0.5, 100)], inherit=True, budget={"trials": 6, "repeats": 2}).root
    assert nasfuse("status", root, "--json").json["inherited"] == 0
    assert "trainings that inherited  0" in nasfuse("status", root).out
    assert "inherited" not in nasfuse("status", run_folder).out


def test_epochs_of_trainings_that_have_not_ended(nasfuse, run_folder):
    (run_folder / "trials" / "5" / "metrics.jsonl").write_text("{}\n" * 3)
    assert nasfuse("status", run_folder, "--json").json["epochs"] == {"spent": 8, "saved": 4, "under_way": 3}
    assert "8 spent, 4 saved, 3 in trainings that were interrupted" in nasfuse("status", run_folder).out
    assert nasfuse("report", run_folder).code == 0
    assert "3 in trainings that were interrupted" in (run_folder / "report.html").read_text()
    with RunFolder(run_folder).locked():
        assert "8 spent, 4 saved, 3 in trainings that run" in nasfuse("status", run_folder).out


def test_a_search_that_runs_is_told_from_one_that_was_interrupted(nasfuse, run_folder):
    assert nasfuse("status", run_folder, "--json").json["searching"] is False
    with RunFolder(run_folder).locked():
        assert nasfuse("status", run_folder, "--json").json["searching"] is True
        assert "1 running" in nasfuse("status", run_folder).out


@pytest.mark.parametrize("results", [[], ["it broke"], [None]])
def test_a_search_that_has_just_begun(nasfuse, make_run, tmp_path, results):
    root = make_run(tmp_path / "run", results).root
    assert nasfuse("status", root, "--json").json["best"] is None
    assert "none yet" in nasfuse("status", root).out


@pytest.mark.parametrize("verb", ["status", "pareto", "report"])
class TestRefusals:
    """The verbs that read a run say the same about what is none."""

    def test_no_run_folder(self, refuses, verb, tmp_path):
        assert "absent is not a run folder: it has no study.yaml" in refuses(verb, "absent")
        (tmp_path / "mine.txt").write_text("x")
        assert ". is not a run folder" in refuses(verb, ".")
        assert "mine.txt is not a run folder" in refuses(verb, "mine.txt")

    def test_a_damaged_storage(self, refuses, verb, run_folder):
        for file in run_folder.glob("study.db-*"):
            file.unlink()
        (run_folder / "study.db").write_bytes(b"rubbish" * 999)
        assert "cannot open the study's storage" in refuses(verb, run_folder)

    def test_a_damaged_study_file(self, refuses, verb, run_folder):
        (run_folder / "study.yaml").write_text("name: [")
        assert "study.yaml has 1 problem: " in refuses(verb, run_folder)

    def test_a_search_that_has_not_started(self, refuses, verb, run_folder):
        for file in run_folder.glob("study.db*"):
            file.unlink()
        assert "the search has not started" in refuses(verb, run_folder)


def test_a_run_is_read_without_torch(run_folder):
    """Nor with the libraries of models and tables: importing them takes longer than reading thousands of trials."""
    code = (
        "import contextlib, io, sys\n"
        "from nasfuse.cli import main\n"
        "for words in (['status'], ['status', '--json'], ['pareto'], ['pareto', '--json']):\n"
        f"    sys.argv = ['nasfuse', words[0], {str(run_folder)!r}, *words[1:]]\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        try: main()\n"
        "        except SystemExit as done: assert not done.code, words\n"
        "    assert out.getvalue(), words\n"
        "    print(words, {'torch', 'scipy', 'sklearn', 'pandas', 'ray'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert [line.rpartition("] ")[2] for line in done.stdout.splitlines()] == ["set()"] * 4, done.stdout
