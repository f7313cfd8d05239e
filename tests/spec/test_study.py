"""Studies: shorthands, files beside them, identity, and all problems of both files at once."""

from pathlib import Path

import pytest

from nasfuse.errors import ConfigError, MissingFileError
from nasfuse.spec.study import StudyConfig

SPACE = "fields:\n  training.lr: {float: [1e-3, 1e-2], log: true}\n"
STUDY = """name: mine
data: {source: digits}
space:
  fields:
    training.lr: {float: [1e-3, 1e-2], log: true}
budget: {trials: 3}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes study.yaml (and space.yaml) into an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def write(text, space=None):
        if space is not None:
            Path("space.yaml").write_text(space)
        Path("study.yaml").write_text(text)
        return Path("study.yaml")

    return write


def problems(path):
    with pytest.raises(ConfigError) as caught:
        StudyConfig.load(path)
    return [str(problem) for problem in caught.value.problems]


def test_defaults(write):
    study = StudyConfig.load(write(STUDY))
    assert (study.metric, study.cost, study.sampler, study.seed) == ("accuracy", "macs", "known_cost", 0)
    assert study.budget.trials == 3
    assert study.budget.minutes is None
    assert study.resources.workers is None
    assert study.stopping is not None
    assert (study.stopping.eta, study.stopping.rungs) == (3, 2)


def test_a_study_is_read_back_from_yaml(write):
    study = StudyConfig.load(write(STUDY + "fixed: {training.epochs: 3}\nmax_macs: 1000\n"))
    again = StudyConfig.load(write(study.to_yaml()))
    assert again == study
    assert again.hash == study.hash


@pytest.mark.parametrize(
    ("line", "plain"),
    [("stopping: off", "off"), ("stopping: null", "off"), ("stopping: {eta: 4}", {"eta": 4, "rungs": 2})],
)
def test_stopping_is_read_back_from_yaml(write, line, plain):
    study = StudyConfig.load(write(STUDY + line + "\n"))
    assert study.to_plain()["stopping"] == plain
    assert (study.stopping is None) == (plain == "off")
    again = StudyConfig.load(write(study.to_yaml()))
    assert again == study
    assert again.hash == study.hash != StudyConfig.load(write(STUDY)).hash


def test_inheriting_needs_trainings_from_scratch(write):
    inherits = STUDY + "inherit: true\n"
    assert StudyConfig.load(write(inherits)).inherit
    (only,) = problems(write(inherits.replace("trials: 3", "trials: 3, repeats: 1")))
    assert only == (
        "line 7: inherit: needs budget.repeats of at least 2, because only trainings from scratch are on the front, "
        "got 1; raise it or set inherit to false"
    )
    assert StudyConfig.load(write(STUDY.replace("trials: 3", "trials: 3, repeats: 1"))).inherit is False


def test_cross_validated_networks_do_not_inherit(write):
    folds = STUDY.replace("{source: digits}", "{source: digits, validation: {folds: 5}}")
    assert StudyConfig.load(write(folds)).data.validation.n_trainings == 5
    (only,) = problems(write(folds + "inherit: true\n"))
    assert only == (
        "line 7: inherit: is not available with data.validation, because the weights of other folds were trained on "
        "the samples of a fold; set it to false"
    )


def test_a_cross_validated_study_is_another_one(write):
    hashes = [
        StudyConfig.load(write(STUDY.replace("{source: digits}", f"{{source: digits{more}}}"))).hash
        for more in ("", ", validation: {folds: 5}", ", validation: {folds: 5, repeats: 2}")
    ]
    assert len(set(hashes)) == 3


def test_a_study_that_inherits_is_another_one(write):
    plain = StudyConfig.load(write(STUDY))
    assert StudyConfig.load(write(STUDY + "inherit: false\n")).hash == plain.hash
    inherits = StudyConfig.load(write(STUDY + "inherit: true\n"))
    assert inherits.hash == StudyConfig.load(write(inherits.to_yaml())).hash != plain.hash


def test_the_space_may_be_a_path_a_file_beside_or_a_shipped_name(write, tmp_path, monkeypatch):
    with_name = STUDY[: STUDY.index("space:")] + "space: NAME\nbudget: {trials: 3}\n"
    inline = StudyConfig.load(write(STUDY))
    assert StudyConfig.load(write(with_name.replace("NAME", "space.yaml"), SPACE)) == inline
    assert "network.route" in StudyConfig.load(write(with_name.replace("NAME", "fusion"))).space.fields
    assert (
        "network.route" in StudyConfig.load(write(with_name.replace("NAME", "search_spaces/fusion.yaml"))).space.fields
    )
    write(with_name.replace("NAME", "space.yaml"), SPACE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert StudyConfig.load(tmp_path / "study.yaml") == inline


def test_data_beside_the_study_are_found_from_anywhere(write, tmp_path, monkeypatch):
    write(STUDY.replace("digits", "mine.npz"))
    (tmp_path / "mine.npz").write_bytes(b"")
    assert Path(StudyConfig.load(Path("study.yaml")).data.source) == tmp_path / "mine.npz"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Path(StudyConfig.load(tmp_path / "study.yaml").data.source) == tmp_path / "mine.npz"


def test_the_path_of_the_data_is_no_part_of_the_identity(write):
    here, there = (StudyConfig.load(write(STUDY.replace("digits", f"{name}.npz"))) for name in ("here", "there"))
    assert here.hash == there.hash != StudyConfig.load(write(STUDY)).hash
    other = StudyConfig.load(write(STUDY.replace("{source: digits", "{source: here.npz, target: z")))
    assert other.hash != here.hash, "another array of the file"


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+pysqlite"])
def test_a_storage_beside_the_study_is_the_same_from_anywhere(write, tmp_path, monkeypatch, driver):
    write(STUDY + f"storage: {driver}:///s.db\n")
    here = StudyConfig.load(tmp_path / "study.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = StudyConfig.load(tmp_path / "study.yaml")
    assert here.storage == there.storage == f"{driver}:///{tmp_path / 's.db'}"
    assert here.hash == there.hash
    (tmp_path / "elsewhere" / "s.db").write_bytes(b"")
    assert StudyConfig.load(tmp_path / "study.yaml").storage == f"{driver}:///{tmp_path / 'elsewhere' / 's.db'}"


def test_the_address_of_the_storage_is_no_part_of_the_identity(write):
    old, new = (StudyConfig.load(write(STUDY + f"storage: {url}\n")) for url in ("mysql://a/x", "mysql://b/x"))
    assert old.hash == new.hash == StudyConfig.load(write(STUDY)).hash


def test_a_password_is_not_written_into_a_study(write):
    with pytest.raises(ConfigError, match="storage: has a password in plain text, which would be copied") as caught:
        StudyConfig.load(write(STUDY + "storage: postgresql://me:s3cret@h/x\n"))
    assert "s3cret" not in str(caught.value)
    study = StudyConfig.load(write(STUDY + "storage: postgresql://me:$DB_PASSWORD@h/x\n"))
    assert "me:$DB_PASSWORD@h" in study.to_yaml()


@pytest.mark.parametrize(
    "url", ["sqlite:////tmp/s.db", "sqlite:///:memory:", "mysql://host/base", "sqlite:///file:a?x=1"]
)
def test_other_storages_are_taken_as_they_are(write, url):
    assert StudyConfig.load(write(STUDY + f"storage: '{url}'\n")).storage == url


def test_identity_leaves_out_what_may_change(write):
    study = StudyConfig.load(write(STUDY))
    longer = StudyConfig.load(
        write(STUDY.replace("trials: 3", "minutes: 7") + "max_macs: 9\nresources: {workers: 5}\n")
    )
    other = StudyConfig.load(write(STUDY + "seed: 1\n"))
    assert study.hash == longer.hash != other.hash


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("colour: red", "line 7: colour: unknown key; Known:"),
        ("sedd: 1", "line 7: sedd: unknown key; did you mean 'seed'?"),
        ("metric: acuracy", "line 7: metric: 'acuracy' is not known; did you mean 'accuracy'?"),
        ("metric: mae", "line 7: metric: the metric mae does not apply to a multiclass task; use accuracy or"),
        ("cost: flops", "line 7: cost: 'flops' is not known"),
        ("stopping: {eta: 1}", "line 7: stopping.eta: must be at least 2, got 1"),
        ("stopping: {eta: 3, rung: 2}", "line 7: stopping.rung: unknown key; did you mean 'rungs'?"),
        (
            "stopping: never",
            "line 7: stopping: must be off or a mapping such as {eta: 3, rungs: 2}, got 'never'; change it",
        ),
        ("seed: -1", "line 7: seed: must be at least 0, got -1"),
        ("seed: 1.5", "line 7: seed: must be an integer"),
        ("max_macs: 0", "line 7: max_macs: must be at least 1, got 0"),
        ("resources: {cpus_per_trial: 0}", "line 7: resources.cpus_per_trial: must be at least 1"),
        (
            "resources: {gpus_per_trial: 1.5}",
            "line 7: resources.gpus_per_trial: must be a whole number or at most 1, got 1.5; round it",
        ),
        ("resources: {gpus: 1}", "line 7: resources.gpus: unknown key"),
        ("fixed: [1]", "line 7: fixed: "),
    ],
)
def test_messages_name_the_line(write, line, expected):
    (only,) = problems(write(f"{STUDY}{line}\n"))
    assert only.startswith(expected)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("budget: {}", "line 6: budget: a search needs a limit, got none; give budget.trials, budget.minutes or both"),
        ("budget: {trials: 0}", "line 6: budget.trials: must be at least 1, got 0"),
        ("budget: {minutes: .inf}", "line 6: budget.minutes: must be a finite number, got inf"),
        ("budget: {minutes: .nan}", "line 6: budget.minutes: must be"),
        ("budget: {minutes: 0}", "line 6: budget.minutes: must be greater than 0, got 0"),
        ("", "budget: this key is required; add it"),
    ],
)
def test_a_search_must_end(write, budget, expected):
    (only,) = problems(write(STUDY.replace("budget: {trials: 3}", budget)))
    assert only.startswith(expected)


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", "a b"])
def test_the_name_is_a_folder_name(write, name):
    (only,) = problems(write(STUDY.replace("name: mine", f"name: '{name}'")))
    assert only.startswith("line 1: name: ")


def test_a_metric_that_cannot_judge_the_default(write):
    (only,) = problems(write(STUDY.replace("{source: digits}", "{source: a.npz, task: regression}")))
    assert only.startswith("the metric accuracy does not apply to a regression task; use r2 or mae or ")


def test_all_problems_of_both_files_at_once(write):
    text = "name: mine\ndata: {sauce: digits}\nspace: space.yaml\nbudget: {trials: 0}\nsede: 1\n"
    found = problems(write(text, "fields:\n  a: {int: [3, 1]}\nbaseline: {}\n"))
    assert len(found) == 6
    text = "\n".join(found)
    for part in (
        "line 2: data.source: this key is required",
        "line 2: data.sauce: unknown key",
        "line 4: budget.trials",
        "line 5: sede: unknown key",
        "line 2: space (space.yaml) fields.a: the range is empty: 3 is above 1",
        "line 3: space (space.yaml) baseline: unknown key",
    ):
        assert part in text


def test_a_missing_space(write):
    (only,) = problems(write(STUDY[: STUDY.index("space:")] + "space: fussion\nbudget: {trials: 3}\n"))
    assert only.startswith("line 3: space: no such file: fussion.")
    assert "did you mean 'fusion'?" in only


def test_a_missing_study(write):
    with pytest.raises(MissingFileError, match=r"no such file: absent\.yaml"):
        StudyConfig.load(Path("absent.yaml"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just words\n", "a: [1\n", "a: x\n\tb: y\n", "\0"])
def test_a_study_that_is_no_mapping_is_one_problem(write, text):
    assert len(problems(write(text))) == 1


@pytest.mark.parametrize("text", ["", "- a\n", "a: [1\n", "fields:\n\ta: 1\n"])
def test_a_space_that_is_no_mapping_is_one_problem(write, text):
    (only,) = problems(write(STUDY[: STUDY.index("space:")] + "space: space.yaml\nbudget: {trials: 3}\n", text))
    assert "space (space.yaml)" in only


def test_a_space_of_a_wrong_type(write):
    (only,) = problems(write(STUDY[: STUDY.index("space:")] + "space: [fusion]\nbudget: {trials: 3}\n"))
    assert only.startswith("line 3: space: ")


def test_a_metric_to_select_by(write):
    plain, other = StudyConfig.load(write(STUDY)), StudyConfig.load(write(STUDY + "select_by: log_loss\n"))
    assert (plain.objective, other.objective, other.metric) == ("accuracy", "log_loss", "accuracy")
    assert other.hash == StudyConfig.load(write(other.to_yaml())).hash != plain.hash
    assert "select_by: the metric rmse does not apply" in problems(write(STUDY + "select_by: rmse\n"))[0]


def test_a_limit_without_modalities(write):
    limited = StudyConfig.load(write(STUDY + "robust_metric: 0.7\n"))
    assert limited.hash == StudyConfig.load(write(limited.to_yaml())).hash != StudyConfig.load(write(STUDY)).hash
    (only,) = problems(write(STUDY + "robust_metric: 0.7\nensembles: 3\n"))
    assert "ensembles: is not available with robust_metric, which ensembles do not have; remove one of them" in only
    assert "robust_metric" in problems(write(STUDY + "robust_metric: .inf\n"))[0]


def test_ensembles_are_not_chosen_by_pixels(write):
    text = STUDY.replace("source: digits", "source: x.npz, task: segmentation")
    (only,) = problems(write(text + "metric: miou\nensembles: 3\n"))
    assert "ensembles: is not available for a segmentation, because ensembles are chosen by the outputs" in only
