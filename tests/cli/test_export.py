"""`nasfuse export`."""

import pytest

from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.recipe import Recipe


@pytest.mark.parametrize(
    ("options", "trial"),
    [
        ([], 4),
        (["--pick", "best"], 4),
        (["--pick", "knee"], 4),
        (["--pick", "cheapest"], 0),
        (["--max-macs", 5000], 2),
        (["--min-metric", 0.6], 2),
        (["--within", 20], 2),
        (["--max-latency-ms", 1e6], 4),
        (["--max-macs", 5000, "--min-metric", 0.3, "--pick", "cheapest"], 0),
        (["--trial", 1], 1),
    ],
)
def test_a_recipe_is_written(nasfuse, run_folder, tmp_path, options, trial):
    (tmp_path / "new").mkdir()
    ran = nasfuse("export", run_folder, *options, "-o", "new/r.yaml", "--json")
    assert ran.code == 0
    assert ran.json["trial"] == trial
    assert ran.json["file"] == "new/r.yaml"
    recipe = Recipe.load(tmp_path / "new" / "r.yaml")
    assert recipe == RunFolder(run_folder).recipe(trial)
    assert ran.json["recipe_hash"] == recipe.hash


def test_without_a_file_the_recipe_is_printed(nasfuse, run_folder, tmp_path):
    ran = nasfuse("export", run_folder, "--trial", 1)
    (tmp_path / "r.yaml").write_text(ran.out)
    assert Recipe.load(tmp_path / "r.yaml") == RunFolder(run_folder).recipe(1)
    assert "trial 1: accuracy 0.4000 (validation), 200 MACs" in ran.err
    printed = nasfuse("export", run_folder, "--trial", 1, "--json").json
    assert Recipe.parse(printed["recipe"]) == RunFolder(run_folder).recipe(1)


def test_another_recipe_is_overwritten_with_force_alone(nasfuse, refuses, run_folder, tmp_path):
    file = tmp_path / "r.yaml"
    nasfuse("export", run_folder, "--trial", 1, "-o", "r.yaml")
    assert nasfuse("export", run_folder, "--trial", 1, "-o", "r.yaml").code == 0
    message = "r.yaml exists and holds something else; name another file with -o, or overwrite it with --force"
    assert message in refuses("export", run_folder, "--trial", 2, "-o", "r.yaml")
    assert Recipe.load(file) == RunFolder(run_folder).recipe(1)
    assert nasfuse("export", run_folder, "--trial", 2, "-o", "r.yaml", "--force").code == 0
    assert Recipe.load(file) == RunFolder(run_folder).recipe(2)


def test_text(nasfuse, run_folder):
    out = nasfuse("export", run_folder, "-o", "r.yaml").out
    assert "trial 4: accuracy 0.9500 (validation), 20,000 MACs" in out
    assert (
        "Trial 4 has the best accuracy of the points of the front; the next cheaper point of the front is trial 2, "
        "0.0500 worse at 1,000 MACs (0.05 times as much), and no costlier one is better.\n"
    ) in out
    assert "train it with: nasfuse train r.yaml" in out
    assert "train it with: nasfuse train 'my r.yaml'" in nasfuse("export", run_folder, "-o", "my r.yaml").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pick", "best", "--trial", 1], "--trial names one point, so no other criterion applies"),
        (["--max-macs", 99], "no point has at most 99 MACs; the nearest is trial 0 with 100 MACs"),
        (["--min-metric", 1], "no point has accuracy of at least 1; the nearest is trial 4 with accuracy 0.9500"),
        (["--trial", 3], "--trial 3: it failed: ValueError: shape [3, /4]"),
        (["--trial", 5], "--trial 5: it is not a finished trial of this run"),
        (["--trial", 44], "--trial 44: there is no such trial in this run, the last is trial 5"),
    ],
)
def test_refusals(refuses, run_folder, tmp_path, options, message):
    (tmp_path / "r.yaml").write_text("mine")
    assert message in refuses("export", run_folder, "-o", "r.yaml", *options)


def test_no_run_folder(refuses):
    for options in ((), ("-o", "r.yaml"), ("--onnx", "bundle")):
        assert "absent is not a run folder" in refuses("export", "absent", *options)


def test_a_recipe_that_is_gone(refuses, run_folder):
    (run_folder / "trials" / "4" / "recipe.yaml").unlink()
    assert "no such file: " in refuses("export", run_folder, "-o", "r.yaml")


def test_a_recipe_edited_into_nonsense(refuses, run_folder):
    file = run_folder / "trials" / "4" / "recipe.yaml"
    file.write_text(file.read_text().replace("metric: accuracy", "metric: acc").replace("epochs:", "epoch:"))
    sentence = refuses("export", run_folder, "-o", "r.yaml")
    assert "trials/4/recipe.yaml has 2 problems: line 1: metric: 'acc' is not known; did you mean 'auc'?" in sentence
    assert "training.epoch: unknown key; did you mean 'epochs'?" in sentence


def test_a_file_that_cannot_be_written(refuses, run_folder):
    refuses("export", run_folder, "-o", run_folder)
