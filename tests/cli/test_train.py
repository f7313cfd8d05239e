"""`nasfuse train` and `nasfuse evaluate`."""

import json
import os

import numpy as np
import pytest
import torch

from nasfuse.cli import console
from nasfuse.errors import counted
from nasfuse.experiment import final_training
from nasfuse.nn.head import LinearHead

RECIPE = """data: {source: digits}
network:
  route: [left]
  streams:
    left: {encoder: mlp, depth: 1, width: 8}
training: {epochs: 2, lr: 0.01}
"""


@pytest.fixture
def write(tmp_path):
    def write(text=RECIPE):
        (tmp_path / "r.yaml").write_text(text)
        return "r.yaml"

    return write


def test_train_then_evaluate(nasfuse, write, tmp_path):
    ran = nasfuse("train", write(), "--seeds", 2, "-o", "out", "--device", "cpu", "--json", "--tensorboard")
    assert ran.code == 0
    assert "curves: tensorboard --logdir out\n" in ran.err
    assert len(list(tmp_path.glob("out/seed[01]/events.out.tfevents.*"))) == 2
    document = ran.json
    checked = {"macs_closed_form", "macs_counted", "macs_status"}
    assert set(document) == {"recipe_hash", "summary", "macs", "metric", "val", "test", "seeds", *checked}
    assert document["macs_closed_form"] == document["macs_counted"] == {"left": document["macs"]}
    assert document["macs_status"] == "equal"
    assert len(document["seeds"]) == 2
    first = document["seeds"][0]
    judged = nasfuse("evaluate", first["checkpoint"], "--device", "cpu", "--json").json
    assert judged["value"] == first["test"]
    assert judged["split"] == "test"
    assert 0 < judged["calibration_error"] < 1
    assert judged["macs"] == document["macs"]
    again = nasfuse("train", "r.yaml", "--seeds", 2, "-o", "out", "--device", "cpu", "--json")
    assert again.json == document
    assert "2 of 2 networks were in out and have not been trained again." in again.sentence
    assert "have not been trained again" not in ran.sentence
    text = nasfuse("evaluate", first["checkpoint"], "--split", "val", "--device", "cpu").out
    assert f"val accuracy {first['val']:.4f} on 180 samples" in text
    assert "calibration error (ECE, 15 bins) 0." in text


def test_macs_that_differ_are_reported_and_results_are_kept(nasfuse, write, tmp_path, monkeypatch):
    monkeypatch.setattr(LinearHead, "macs", lambda self: 1)
    for options in ((), ("--json",)):
        ran = nasfuse("train", write(), "-o", "out", "--device", "cpu", *options)
        assert ran.code == 1
        assert "fault of nasfuse: MACs of a full-length sample differ (left:" in ran.err
    assert ran.json["macs_status"] == "differ"
    assert ran.json["macs_closed_form"] != ran.json["macs_counted"]
    assert json.loads((tmp_path / "out" / "macs.json").read_text())["macs_status"] == "differ"
    assert (tmp_path / "out" / "seed0" / "model.pt").is_file()


def test_a_point_that_is_not_there(nasfuse, write):
    nasfuse("train", write(), "-o", "out", "--device", "cpu")
    ran = nasfuse("evaluate", "out/seed0/model.pt", "--point", 3, "--device", "cpu")
    assert ran.code == 2
    assert "has the operating points 0 to 0, got 3; name one of them" in ran.err


def test_text_and_default_folder(nasfuse, write, tmp_path):
    out = nasfuse("train", write(), "--device", "cpu").out
    assert "test accuracy 0." in out
    assert "(1 seed)" in out
    assert len(list((tmp_path / "runs").glob("train-*/seed0/model.pt"))) == 1


def test_a_recipe_with_folds_is_trained_on_train_and_val(nasfuse, write, monkeypatch):
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.0)
    folds = RECIPE.replace("source: digits", "source: digits, validation: {folds: 3}")
    ran = nasfuse("train", write(folds), "-o", "out", "--device", "cpu")
    assert ran.code == 0
    assert "train and val were trained on together (data.validation)" in ran.out
    assert "test accuracy 0." in ran.out
    assert "epoch 1/2: training loss " in ran.err


def test_refit_trains_on_train_and_val(nasfuse, write):
    ran = nasfuse("train", write(), "--refit", "-o", "out", "--device", "cpu", "--json")
    assert ran.json["val"] == {"mean": None, "sd": None}
    folds = RECIPE.replace("source: digits", "source: digits, validation: {folds: 5}")
    same = nasfuse("train", write(folds), "--refit", "-o", "out", "--device", "cpu")
    assert "1 of 1 network was in out and has not been trained again" in same.sentence
    assert "train and val were trained on together (--refit), so there is no metric of val" in same.out


def test_a_setting_without_effect_is_told_once(nasfuse, write):
    recipe = write(RECIPE.replace("epochs: 2", "epochs: 1, modality_dropout: 0.2"))
    ran = nasfuse("train", recipe, "--device", "cpu")
    assert ran.code == 0
    expected = "warning: training.modality_dropout has no effect: the network has one stream, which is never lost; rem"
    assert ran.sentence.count(expected) == 1
    assert "has no effect" not in nasfuse("train", recipe, "--device", "cpu").err, "it was told"


@pytest.mark.parametrize(("options", "threads"), [((), 1), (("--threads", 2), 2)])
def test_threads(nasfuse, write, monkeypatch, options, threads):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert nasfuse("train", write(), "--device", "cpu", *options).code == 0
    assert asked == [threads]


def test_more_threads_than_cores(refuses, write, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert "--threads 3: this machine has 2 cores; use at most 2" in refuses("train", write(), "--threads", 3)


def test_an_interrupt_says_how_to_go_on(nasfuse, write, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(final_training, "train_recipe", interrupt)
    ran = nasfuse("train", write(), "-o", "out", "--device", "cpu")
    assert ran.code == 130
    assert "Interrupted; what was trained is kept in out. Continue with: nasfuse train r.yaml -o out" in ran.sentence


def test_lines_where_there_is_no_terminal(nasfuse, write, monkeypatch):
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.0)
    err = nasfuse("train", write(), "--seeds", 2, "--device", "cpu").err
    assert "seed 1/2, epoch 1/2: val accuracy 0." in err
    assert "seed 2/2, epoch 2/2: val accuracy 0." in err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width: 8", "widht: 8", "line 5: network.streams.left.widht: unknown key; did you mean 'width'"),
        ("route: [left]", "route: [left, right]", "route names right, which is missing from streams"),
        ("left", "middle", "network.route: the data has no modality 'middle'; Known: left, right"),
        ("source: digits", "source: absent.npz", "no data set 'absent.npz'"),
        ("data:", "metric: acc\ndata:", "metric"),
        ("data:", "metric: mae\ndata:", "mae does not apply to a multiclass task; use accuracy"),
        ("encoder: mlp, depth: 1, width: 8", "encoder: conv, stride: 64", "stride"),
        ("encoder: mlp", "encoder: transformer, heads: 3", "heads must divide width, got heads 3 and width 8"),
        (RECIPE, "", "the file must hold a YAML mapping"),
        (RECIPE, "\tdata: x", "not valid YAML"),
    ],
)
def test_what_cannot_be_trained(refuses, write, old, new, message):
    sentence = refuses("train", write(RECIPE.replace(old, new)), "-o", "out", "--device", "cpu")
    assert message in sentence


def test_all_problems_at_once(refuses, write):
    sentence = refuses(
        "train", write(RECIPE.replace("width: 8", "width: 0").replace("epochs: 2", "epochs: x") + "a: 1\n")
    )
    assert "r.yaml has 3 problems:" in sentence


def test_a_study_is_no_recipe(refuses, write):
    study = "name: x\ndata: {source: digits}\nspace: {fields: {}}\nbudget: {trials: 1}\n"
    sentence = refuses("train", write(study))
    assert sentence.endswith(
        "r.yaml is a study, not a recipe: run `nasfuse search` with it, and then `nasfuse export` for a recipe"
    )


def test_missing_files(refuses):
    assert "no such file: absent.yaml" in refuses("train", "absent.yaml")
    assert "this is a folder: .. Give the path of an existing YAML file" in refuses("train", ".")
    assert "no such checkpoint: absent.pt" in refuses("evaluate", "absent.pt", "--device", "cpu")


@pytest.mark.parametrize("verb", [["evaluate"], ["predict", "new.csv", "-o", "out.csv"]])
def test_a_table_in_place_of_a_checkpoint(refuses, tmp_path, verb):
    for name in ("data.csv", "new.csv"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    found = refuses(verb[0], "data.csv", *verb[1:], "--device", "cpu")
    assert "data.csv" in found
    assert "model.pt" in found
    assert "again" not in found


def test_a_damaged_checkpoint(refuses, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"PK rubbish")
    assert "is damaged or cut off" in refuses("evaluate", "model.pt", "--device", "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_an_unknown_device(refuses, write, device):
    assert "there is no such device; use cpu, cuda or auto" in refuses("train", write(), "--device", device)


def test_a_device_that_is_not_there(refuses, write):
    here = torch.cuda.device_count()
    assert f"torch sees {counted(here, 'GPU')} here; use cpu or auto" in refuses(
        "train", write(), "--device", f"cuda:{here}"
    )


@pytest.mark.parametrize("device", ["meta", "mps"])
def test_a_device_that_cannot_train(refuses, write, device):
    assert "only cpu and cuda are supported" in refuses("train", write(), "--device", device)


def test_a_folder_that_cannot_be_written(refuses, write, tmp_path):
    (tmp_path / "out").write_text("mine")
    refuses("train", write(), "-o", "out", "--device", "cpu")


def test_a_loss_that_is_not_finite(nasfuse, write):
    ran = nasfuse(
        "train", write(RECIPE.replace("lr: 0.01", "lr: 1e38, clip_norm: 1e38")), "-o", "out", "--device", "cpu"
    )
    assert ran.code == 1
    assert ran.sentence.splitlines()[-1].count("error: ") == 1


class TestData:
    """`--data` names the data in place of the recipe or the checkpoint."""

    FILE = """data: {source: a.npz, modalities: {a: vector}}
network: {route: [a], streams: {a: {encoder: mlp, depth: 1, width: 4}}}
training: {epochs: 1}
"""

    @pytest.fixture
    def save(self, tmp_path):
        def save(name, seed=0):
            values = np.random.default_rng(seed).normal(size=(60, 3))
            np.savez(tmp_path / name, a=values, y=np.arange(60) % 2)

        return save

    def test_of_train(self, nasfuse, write, save):
        save("b.npz")
        path = write(self.FILE)
        assert "no data set 'a.npz'" in nasfuse("train", path, "--device", "cpu").sentence
        ran = nasfuse("train", path, "--data", "b.npz", "-o", "out", "--device", "cpu", "--json")
        assert ran.code == 0
        assert "warning" not in ran.err
        assert nasfuse("evaluate", "out/seed0/model.pt", "--device", "cpu").err == ""

    def test_of_evaluate(self, nasfuse, write, save, tmp_path):
        save("a.npz")
        assert nasfuse("train", write(self.FILE), "-o", "out", "--device", "cpu").code == 0
        save("other.npz", seed=1)
        command = "evaluate", "out/seed0/model.pt", "--device", "cpu", "--data"
        ran = nasfuse(*command, "other.npz", "--json")
        assert ran.code == 0
        assert f"warning: {ran.json['warning']}" in ran.sentence
        assert ran.json["data"] == str(tmp_path / "other.npz")
        save("same.npz")
        ran = nasfuse(*command, "same.npz", "--json")
        assert (ran.code, ran.err) == (0, "")
        assert "warning" not in ran.json

    def test_the_default_folder_of_other_data(self, nasfuse, write, save):
        path = write(self.FILE)
        save("a.npz")
        assert nasfuse("train", path, "--device", "cpu").code == 0
        save("b.npz", seed=1)
        ran = nasfuse("train", path, "--data", "b.npz", "--device", "cpu")
        assert ran.code == 2
        assert "seed0 holds a network of other data; choose another -o" in ran.sentence
        ran = nasfuse("train", path, "--data", "b.npz", "--seed", 3, "--device", "cpu")
        assert "seed0 holds a network of another --seed and of other data; choose another -o" in ran.sentence

    def test_other_modalities(self, nasfuse, write, save, tmp_path):
        save("a.npz")
        assert nasfuse("train", write(self.FILE), "-o", "out", "--device", "cpu").code == 0
        np.savez(tmp_path / "b.npz", b=np.zeros((60, 3)), y=np.arange(60) % 2)
        np.savez(tmp_path / "wide.npz", a=np.random.default_rng(0).normal(size=(60, 5)), y=np.arange(60) % 2)
        for command in (("train", "r.yaml", "-o", "other"), ("evaluate", "out/seed0/model.pt")):
            ran = nasfuse(*command, "--data", "b.npz", "--device", "cpu")
            assert ran.code == 2
            assert "b.npz has no array 'a' (data.modalities.a); Known: b, y" in ran.sentence
        ran = nasfuse("evaluate", "out/seed0/model.pt", "--data", "wide.npz", "--device", "cpu")
        assert ran.code == 2
        assert "modality a has samples of shape 5, and the network was trained with 3; give it data of" in ran.sentence

    def test_a_file_that_is_not_there(self, refuses, write):
        assert "no data set 'x.npz'" in refuses("train", write(), "--data", "x.npz", "-o", "out", "--device", "cpu")


def test_evaluation_without_modalities(nasfuse, monkeypatch):
    from nasfuse.experiment import checkpoint_evaluation

    def evaluated(path, *, without, **options):
        return {
            "split": "test", "metric": "accuracy", "value": 0.5, "samples": 9, "by_class": [], "macs": 7,
            "recipe_hash": "0a", "summary": "it", "without": dict(zip(without, ("placeholder", "mean"), strict=True)),
        }  # fmt: skip

    monkeypatch.setattr(checkpoint_evaluation, "evaluate_checkpoint", evaluated)
    out = nasfuse("evaluate", "model.pt", "--without", "audio", "--without", "photo").out
    assert "without audio: its learned placeholder stands for it\n" in out
    assert "without photo: the mean of the training data stands for it, because the network was trained without" in out


def test_a_training_starts_from_a_network(nasfuse, write, tmp_path):
    nasfuse("train", write(), "-o", "first", "--device", "cpu")
    ran = nasfuse("train", "r.yaml", "--init", "first/seed0/model.pt", "--device", "cpu")
    assert ran.code == 0
    assert "start from first/seed0/model.pt. Of the preprocessing, that of left is kept" in ran.sentence
    (folder,) = (tmp_path / "runs").iterdir()
    assert "-from-" in folder.name
    again = nasfuse("train", "r.yaml", "--init", "first/seed0/model.pt", "--device", "cpu")
    assert "1 of 1 network was in" in again.sentence


def test_a_network_that_shares_nothing_is_no_start(nasfuse, write, refuses):
    nasfuse("train", write(), "-o", "first", "--device", "cpu")
    other = write(RECIPE.replace("left", "right").replace("mlp, depth: 1, width: 8", "mlp, depth: 1, width: 16"))
    said = refuses("train", other, "--init", "first/seed0/model.pt", "--device", "cpu")
    assert "no weight of first/seed0/model.pt has the name and the shape of one of the recipe's network" in said
    assert "first is a folder" in refuses("train", other, "--init", "first")
    assert "--point is that of the network of --init" in refuses("train", other, "--point", "1")
    assert "has the operating points 0 to 0, got 2" in refuses(
        "train", other, "--init", "first/seed0/model.pt", "--point", "2"
    )
