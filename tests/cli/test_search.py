"""`nasfuse search`: every mistake before it starts, and what it writes at its end."""

import json

import numpy as np
import optuna
import pytest

from nasfuse.cli.live import LiveDisplay
from nasfuse.errors import RunFolderError
from nasfuse.experiment import run as search_module
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.nn.head import LinearHead
from nasfuse.search.storage import open_storage
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.spec.study import StudyConfig

STUDY = """name: small
data: {source: digits}
space:
  fields:
    network.route: {subsets: true}
    network.streams.*.width: {choices: [8, 16, 32], when: {network.route: {has: "*"}}}
  fixed: {network.streams.*.encoder: mlp}
  baselines: {both: {network.route: all}}
budget: {trials: 6}
"""


@pytest.fixture
def write(tmp_path):
    def write(text=STUDY, name="study.yaml"):
        (tmp_path / name).write_text(text)
        return name

    return write


@pytest.fixture
def never_starts(monkeypatch):
    """No test here starts a worker."""
    monkeypatch.setattr(search_module, "_run", lambda *_, **__: pytest.fail("the search has started"))


@pytest.mark.usefixtures("never_starts")
class TestRefusals:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "name: small",
                "nmae: small",
                "has 2 problems: name: this key is required; add it line 1: nmae:",
            ),
            ("budget: {trials: 6}", "", "study.yaml has 1 problem: budget: this key is required"),
            (
                "budget: {trials: 6}",
                "budget: {}",
                "a search needs a limit, got none; give budget.trials, budget.minutes or both",
            ),
            ("subsets: true", "subsets: true, chioces: [1]", "line 5: space.fields.network.route.chioces: unknown key"),
            ("choices: [8, 16, 32]", "int: [32, 8]", "the range is empty: 32 is above 8; swap them"),
            ("choices: [8, 16, 32]", "choices: [8, wide]", "'wide' is not a value of this field; change it"),
            ('{has: "*"}', "{has: middle}", "the data has no modality 'middle'"),
            ("when: {network.route:", "when: {network.rout:", "network.rout is no field of this space; did you mean"),
            (
                'has: "*"',
                "hass: 1",
                "network.route needs a value, a list of values, {has: stream}, {at_least: n} or {dynamic: true}",
            ),
            ("{network.route: all}", "{network.rout: all}", "baselines.both.network.rout: no field of this space"),
            ("{network.route: all}", "{network.streams.*.width: 9}", "9 is not in the distribution of network.streams"),
            ("encoder: mlp", "encoder: rnn", "fixed.network.streams.*.encoder: 'rnn' is not a value of this field"),
            ("{source: digits}", "{source: digitz}", "no data set 'digitz': no file at"),
            ("{source: digits}", "{source: absent.npz}", "no data set 'absent.npz'"),
            ("budget:", "sampler: tpee\nbudget:", "line 9: sampler: 'tpee' is not known; did you mean 'tpe'?"),
            ("budget:", "metric: acc\nbudget:", "line 9: metric: 'acc' is not known"),
            ("budget:", "metric: r2\nbudget:", "the metric r2 does not apply to a multiclass task; use accuracy"),
            ("budget:", "fixed: {training.epochs: many}\nbudget:", "fixed.training.epochs: 'many' is not a value"),
            (
                "budget:",
                "fixed: {network.streams.top.width: 8}\nbudget:",
                "the data has no modality 'top'; Known:",
            ),
            ("budget:", "max_macs: 5\nbudget:", "max_macs: no network of at most 5 MACs was found in the space"),
            ("budget:", "\tbudget:", "study.yaml has 1 problem: line 9: not valid YAML: found character '\\t'"),
            (STUDY, "", "study.yaml has 1 problem: the file must hold a YAML mapping"),
            (STUDY, "- a\n- b\n", "the file must hold a YAML mapping"),
        ],
    )
    def test_of_a_study(self, refuses, write, old, new, message):
        assert old in STUDY
        sentence = refuses("search", write(STUDY.replace(old, new)))
        assert " error: " in f" {sentence}"
        assert message in sentence

    def test_a_cycle(self, refuses, write):
        text = STUDY.replace(
            "  fixed:",
            "    training.lr: {choices: [1], when: {training.mixup: 1}}\n"
            "    training.mixup: {choices: [1], when: {training.lr: 1}}\n  fixed:",
        )
        assert refuses("search", write(text)).endswith(
            "these fields depend on each other: training.lr -> training.mixup -> training.lr"
        )

    def test_all_problems_at_once(self, refuses, write):
        text = STUDY.replace("name: small", "name: a/b").replace("trials: 6", "trials: -1") + "a: 1\n"
        sentence = refuses("search", write(text))
        assert "study.yaml has 3 problems:" in sentence
        assert all(f"line {line}: " in sentence for line in (1, 9, 10))

    @pytest.mark.parametrize(("space", "message"), [("fussion", "did you mean 'fusion'"), ("x.yaml", "no such file")])
    def test_a_missing_space(self, refuses, write, space, message):
        sentence = refuses(
            "search", write(f"name: x\ndata: {{source: digits}}\nspace: {space}\nbudget: {{trials: 1}}\n")
        )
        assert "line 3: space: no such file: " in sentence
        assert message in sentence

    def test_data_in_the_place_of_a_study(self, refuses, write):
        sentence = refuses("search", write("price,y\n1,a\n", "my data.csv"))
        assert (
            "my data.csv holds data, and a search needs a study; write one with `nasfuse init 'my data.csv'`"
            in sentence
        )

    @pytest.mark.parametrize("study", ["absent.yaml", ".", "digts"])
    def test_a_missing_study(self, refuses, study):
        assert "Give a YAML file or a shipped name" in refuses("search", study)

    @pytest.mark.parametrize(
        ("minutes", "message"), [("inf", "must be a finite number, got inf"), ("nan", "--minutes")]
    )
    def test_a_budget_that_never_ends(self, refuses, write, minutes, message):
        assert message in refuses("search", write(), "--minutes", minutes)

    def test_max_macs_below_the_cheapest(self, refuses, write):
        sentence = refuses("search", write(), "--max-macs", "10", "-o", "out")
        assert (
            "no network of at most 10 MACs was found in the space, the cheapest of 128 draws and the baselines has"
            in sentence
        )

    @pytest.mark.parametrize("resources", ["{cpus_per_trial: 9999}", "{gpus_per_trial: 999}"])
    def test_resources_that_are_not_here_claim_no_folder(self, refuses, write, tmp_path, resources):
        sentence = refuses("search", write(f"{STUDY}resources: {resources}\n"), "-o", "out")
        assert "GPUs that one trial needs; ask for less per trial" in sentence
        assert not (tmp_path / "out").exists()

    def test_a_folder(self, refuses, tmp_path):
        (tmp_path / "study.yaml").mkdir()
        assert "this is a folder: study.yaml. Give a YAML file or a shipped name" in refuses("search", "study.yaml")

    def test_a_folder_with_other_files(self, refuses, write, tmp_path):
        write("years of work", "thesis.tex")
        assert ". has a study.yaml that no search has written" in refuses("search", write(), "-o", ".")
        assert "exists and is not a run folder; choose another with -o" in refuses("search", "digits", "-o", "..")
        assert "thesis.tex is a file, not a run folder" in refuses("search", write(), "-o", "thesis.tex")
        assert "thesis.tex/run" in refuses("search", write(), "-o", "thesis.tex/run")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["study.yaml", "thesis.tex"]

    def test_a_folder_that_cannot_be_written(self, refuses, write):
        """/proc is one for every user, root too."""
        assert "/proc" in refuses("search", write(), "-o", "/proc/nasfuse/run")

    @pytest.mark.parametrize(
        ("labels", "value", "modality", "message"),
        [
            ([0, -3] * 20, 0.0, "a", "label"),
            ([0, 1] * 20, np.nan, "a", "NaN"),
            ([0, 1] * 20, np.inf, "a", "infinite"),
            ([0, 1] * 20, 0.0, "b", "bad.npz has no array 'b' (data.modalities.b)"),
        ],
    )
    def test_bad_data(self, refuses, write, tmp_path, labels, value, modality, message):
        arrays = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        arrays[7, 1] += value
        np.savez(tmp_path / "bad.npz", a=arrays, y=np.array(labels))
        data = f"{{source: bad.npz, modalities: {{{modality}: vector}}}}"
        sentence = refuses("search", write(STUDY.replace("{source: digits}", data)))
        assert message in sentence


@pytest.fixture
def same_study(make_run, tmp_path, write):
    """A finished run, and the file of its study."""
    folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000), "it broke"], budget={"trials": 3})
    write(folder.read_study().to_yaml())
    return folder


@pytest.mark.usefixtures("never_starts")
class TestAnExistingRun:
    def test_hand_made_designs_alone(self, nasfuse, make_run, same_study, tmp_path, write):
        line = "The budget was spent on hand-made designs only; search with a larger --trials or --minutes."
        assert line in nasfuse("search", "study.yaml", "-o", "run").out
        more = make_run(tmp_path / "more", [(0.5, 100), (0.9, 1000), (0.3, 10), (0.4, 10)], budget={"trials": 4})
        write(more.read_study().to_yaml())
        assert line not in nasfuse("search", "study.yaml", "-o", "more").out

    def test_all_trials_above_the_limit(self, nasfuse, make_run, write, tmp_path):
        found = make_run(tmp_path / "above", [(0.5, 10_000), (0.9, 20_000)], max_macs=2500, budget={"trials": 2})
        write(found.read_study().to_yaml())
        ran = nasfuse("search", "study.yaml", "-o", "above")
        assert ran.code == 1
        assert "no operating point of its 2 complete trials has at most max_macs 2500; raise --max-macs" in ran.sentence
        assert "2 points" in nasfuse("search", "study.yaml", "-o", "above", "--max-macs", "20000").out

    def test_a_spent_budget_prints_the_front(self, nasfuse, same_study):
        ran = nasfuse("search", "study.yaml", "-o", "run", "--json")
        assert ran.code == 0
        assert "run has spent its budget (2 trials complete)" in ran.sentence
        assert [line for line in ran.err.splitlines() if line.endswith(" ...")] == [
            "loading PyTorch ...",
            "reading the data ...",
            "building networks of the space ...",
            "measuring the front, for about 60 s at most ...",
            "writing the report ...",
        ]
        assert ran.json["study"] == "small"
        assert {path.name for path in same_study.root.iterdir()} >= {"front.csv", "front.png", "report.html"}
        table = nasfuse("search", "study.yaml", "-o", "run").out
        assert "Front of small: 2 points" in table
        assert "report.html" in table

    def test_macs_that_differ_are_reported_everywhere(self, nasfuse, same_study, monkeypatch):
        monkeypatch.setattr(LinearHead, "macs", lambda self: 1)
        ran = nasfuse("search", "study.yaml", "-o", "run")
        assert ran.code == 1
        assert "fault of nasfuse: trial 0: MACs of a full-length sample differ (left:" in ran.err.replace("\n", " ")
        assert "Front of small: 2 points" in ran.out, "the results are kept"
        assert "trial 0: MACs of a full-length sample differ" in same_study.report_file.read_text()
        checks = json.loads(same_study.macs_file.read_text())
        assert {one["macs_status"] for one in checks.values()} == {"differ"}

    def test_problems_of_the_study_come_before_differences_to_the_run(self, refuses, same_study, write):
        write(same_study.read_study().to_yaml().replace("training.epochs: 2", "training.epoch: 2"))
        sentence = refuses("search", "study.yaml", "-o", "run")
        assert "training.epoch" in sentence
        assert "holds another study" not in sentence

    def test_warnings_about_settings_are_not_repeated(self, nasfuse, make_run, write, tmp_path):
        space = {"fields": {"network.streams.*.width": {"choices": [8, 16]}}}
        fixed = {"network.streams.*.encoder": "mlp", "network.route": "left", "training.mixup_at": "manifold"}
        folder = make_run(tmp_path / "run", [(0.5, 100)], budget={"trials": 1}, space={**space, "fixed": fixed})
        write(folder.read_study().to_yaml())
        assert "training.mixup_at has no effect" not in nasfuse("search", "study.yaml", "-o", "run").err

    def test_another_study(self, refuses, same_study, write):
        write(same_study.read_study().to_yaml().replace("seed: 0", "seed: 4"))
        assert "run holds another study: seed differs." in refuses("search", "study.yaml", "-o", "run")
        write(same_study.read_study().to_yaml())
        assert "run holds another study: seed differ" in refuses("search", "study.yaml", "-o", "run", "--seed", "7")

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("robustness.json", "{}}"),
            ("robustness.json", '[{"label": ["0"], "metric": 1, "without": {}, "by_mean": []}]'),
            ("robustness.json", '[{"label": "0", "metric": 1, "without": [], "by_mean": []}]'),
            (
                "robustness.json",
                '[{"label": "0", "metric": 1, "without": {"left": 0.5}}, {"label": "1", "metric": 1, "without": {}}]',
            ),
            ("plain_models.json", '{"metric": "accuracy", "constant": [], "linear": []}'),
        ],
    )
    def test_a_damaged_part_is_left_out_of_the_report(self, nasfuse, same_study, name, text):
        (same_study.root / name).write_text(text)
        ran = nasfuse("report", "run")
        assert ran.code == 0
        assert ran.sentence.startswith(f"warning: run/{name} is damaged; remove it, and ")
        assert ran.sentence.endswith(" writes it again; it is left out here")
        assert "<html" in same_study.report_file.read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            '{"0": {"macs_status": "equal"}}',
            '{"0": {"macs_closed_form": {"a": 1}, "macs_counted": {"b": 1}, "macs_status": "differ"}}',
        ],
    )
    def test_damaged_counts_of_macs_are_made_again(self, nasfuse, same_study, text):
        same_study.macs_file.write_text(text)
        with pytest.raises(RunFolderError, match=r"macs\.json is damaged; remove it, and the search command or"):
            read_checks(same_study)
        assert nasfuse("report", "run").err == ""
        assert len(read_checks(same_study)) == 2

    @pytest.mark.parametrize("text", ["", "name: [", "name: other\n"])
    def test_a_damaged_study_file(self, refuses, same_study, text):
        same_study.study_file.write_text(text)
        assert "run holds a study.yaml that cannot be read" in refuses("search", "study.yaml", "-o", "run")

    def test_a_damaged_storage(self, refuses, same_study):
        for file in same_study.root.glob("study.db*"):
            file.unlink()
        (same_study.root / "study.db").write_bytes(b"rubbish" * 999)
        assert "cannot open the study's storage" in refuses("search", "study.yaml", "-o", "run")

    def test_a_search_that_is_running(self, refuses, same_study):
        with same_study.locked():
            sentence = refuses("search", "study.yaml", "-o", "run")
        assert "another search is writing to run; wait for it, or watch it with nasfuse status" in sentence
        assert "reading the data" not in sentence

    def test_every_trial_failed(self, nasfuse, make_run, tmp_path, write):
        folder = make_run(tmp_path / "run", ["it broke"], budget={"trials": 1})
        write(folder.read_study().to_yaml())
        ran = nasfuse("search", "study.yaml", "-o", "run")
        assert ran.code == 1
        assert "the search ended without a result: the only trial failed, trial 0 because it broke" in ran.err

    def test_every_trial_was_stopped(self, nasfuse, make_run, tmp_path, write):
        folder = make_run(tmp_path / "run", [0.3], budget={"trials": 1})
        write(folder.read_study().to_yaml())
        ran = nasfuse("search", "study.yaml", "-o", "run")
        assert ran.code == 1
        assert "run has spent its budget (0 trials complete, 1 stopped early); continue with a larger" in ran.sentence
        assert "1 trial stopped, and none was trained to its end; raise --trials or --minutes" in ran.sentence

    def test_a_budget_whose_time_is_spent_before_its_trials(self, nasfuse, make_run, tmp_path, write):
        folder = make_run(tmp_path / "run", [(0.5, 100), (0.9, 1000)], budget={"trials": 100, "minutes": 2})
        study = folder.read_study()
        found = optuna.load_study(study_name=study.name, storage=open_storage(folder.storage_url(study)))
        StudyAttributes(found).seconds = 121.0
        write(study.to_yaml())
        ran = nasfuse("search", "study.yaml", "-o", "run")
        assert ran.code == 0
        end = "the time of 2 min ended the search after 2 of 100 trials; a larger --minutes continues it."
        assert f"run has spent its budget (2 trials complete); {end}" in ran.sentence

    def test_files_of_a_search_that_was_killed_are_removed(self, nasfuse, same_study):
        for name in (".data", ".tune"):
            (same_study.root / name / "part").mkdir(parents=True)
        assert nasfuse("search", "study.yaml", "-o", "run").code == 0
        assert not [name for name in (".data", ".tune") if (same_study.root / name).exists()]


class TestOptions:
    def asked(self, nasfuse, monkeypatch, *options):
        seen = []

        def note(study, folder, *, display, address, **_):
            seen.append((study, folder, address))
            raise KeyboardInterrupt

        monkeypatch.setattr(search_module, "run_search", note)
        ran = nasfuse("search", "study.yaml", *options)
        return seen[0], ran

    def test_options_override_the_study(self, nasfuse, monkeypatch, write):
        write()
        options = ["--trials", 9, "--max-macs", 77, "--workers", 3, "--seed", 4, "--address", "auto", "-o", "x"]
        (study, folder, address), _ = self.asked(nasfuse, monkeypatch, *options)
        assert (study.budget.trials, study.budget.minutes) == (9, None)
        assert (study.max_macs, study.resources.workers, study.seed) == (77, 3, 4)
        assert (str(folder.root), address) == ("x", "auto")

    def test_a_budget_of_the_command_line_replaces_that_of_the_study(self, nasfuse, monkeypatch, write):
        write()
        (study, folder, _), _ = self.asked(nasfuse, monkeypatch, "--minutes", 0.5)
        assert (study.budget.trials, study.budget.minutes) == (None, 0.5)
        assert folder.root.as_posix() == "runs/small"

    def test_without_options_the_study_is_as_written(self, nasfuse, monkeypatch, write, tmp_path):
        write()
        (study, _, _), _ = self.asked(nasfuse, monkeypatch)
        assert study == StudyConfig.load(tmp_path / "study.yaml")

    def test_an_interrupt_prints_the_line_that_resumes(self, nasfuse, monkeypatch, write):
        write()
        _, ran = self.asked(nasfuse, monkeypatch, "-o", "my run")
        assert ran.code == 130
        assert ran.err.strip().splitlines()[-1].strip() == "nasfuse search study.yaml -o 'my run'"

    @pytest.mark.parametrize(
        ("n_ended", "kept"),
        [
            (None, "every finished trial is kept in run."),
            (0, "no trial has finished yet, and those that ran continue from where they were saved last."),
            (2, "every finished trial is kept in run."),
        ],
    )
    def test_an_interrupt_says_what_is_kept(self, nasfuse, monkeypatch, write, n_ended, kept):
        write()
        monkeypatch.setattr(LiveDisplay, "n_ended", n_ended)
        _, ran = self.asked(nasfuse, monkeypatch, "-o", "run")
        assert f"Interrupted; {kept} Continue with:" in ran.sentence


def test_no_cluster_at_the_address_is_one_sentence(nasfuse, write):
    ran = nasfuse("search", write(), "--address", "127.0.0.1:1")
    assert ran.code == 2
    assert "error: no Ray cluster at 127.0.0.1:1: " in ran.sentence


def test_the_folder_that_was_named(same_study):
    assert RunFolder(same_study.root).read_study().name == "small"
