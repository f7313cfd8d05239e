"""Exporting a point, training its recipe and reading the checkpoint gives the setting of the point, for every knob."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nasfuse.data.sources.digits import load_digits
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.objective import Training
from nasfuse.experiment.run_reader import read_run
from nasfuse.nn import build_network
from nasfuse.nn.knob import settings_of
from nasfuse.spec.recipe import Recipe

CPU = torch.device("cpu")
STREAM = {"encoder": "transformer", "depth": 1, "width": 8, "stride": 2, "heads": 2}
REDUCED = {**STREAM, "reducer": {"kind": "merge", "keep_ratio": 0.5}}
FUSIONS = {
    "solver": {"kind": "equilibrium", "placement": 1, "width": 16, "max_steps": 8},
    "joint": {
        "kind": "joint_tokens",
        "placement": 1,
        "width": 8,
        "heads": 2,
        "reducer": {"kind": "merge", "keep_ratio": 0.5},
    },
}
ROUTERS = {"gate": {"width": 4}, "sequential": {"kind": "sequential"}}
SETTINGS = {"threshold": 0.3, "max_steps": 4, "tolerance": 0.05, "keep_ratio": 0.2, "keep_ratio.left": 0.25}


def recipe_of(fusion, *, router, data=None):
    network = {"route": ["left", "right"], "streams": {"left": REDUCED, "right": STREAM}, "fusion": FUSIONS[fusion]}
    if router:
        network["router"] = {"routes": ["left", "left+right"], **ROUTERS[router]}
    plain = {"data": data or {"source": "digits"}, "network": network, "training": {"epochs": 2, "lr": 0.01}}
    return Recipe.parse(plain)


def cases():
    """Every knob alone and every combination of knobs that one network has."""
    for fusion, own in (("solver", ("max_steps", "tolerance")), ("joint", ("keep_ratio",))):
        for router in (None, *ROUTERS):
            names = ["keep_ratio.left", *own, *(["threshold"] if router else [])]
            for count in range(1, len(names) + 1):
                for chosen in itertools.combinations(names, count):
                    yield pytest.param(fusion, router, chosen, id=f"{fusion}-{router}-{'-'.join(chosen)}")


def exported(folder, recipe, settings, macs):
    """Returns the recipe of a point that a trial of `recipe` had."""
    folder.trial(3).joinpath("recipe.yaml").write_text(recipe.to_yaml())
    run = read_run(folder)
    candidate = next(one for one in run.candidates if one.trial == 3)
    return run.recipe(replace(candidate, measured=replace(candidate.measured, knobs=settings, macs=macs)))


@pytest.fixture(scope="module")
def folder(make_run, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("export") / "run", [(0.5, 100), (0.6, 200), "it broke", (0.9, 1000)])


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory):
    """400 of the digits in a file: a network is trained seven times for every case."""
    file = tmp_path_factory.mktemp("data") / "few.npz"
    split = load_digits().train
    columns = {name: column.values[column.index[:400], 0].numpy() for name, column in split.columns.items()}
    np.savez(file, **columns, y=split.targets[:400].numpy())
    return {"source": str(file), "modalities": dict.fromkeys(columns, "image")}


@pytest.mark.parametrize(("fusion", "router", "names"), cases())
def test_a_recipe_has_every_setting_of_its_point(folder, fusion, router, names):
    recipe = recipe_of(fusion, router=router)
    settings = {name: SETTINGS[name] for name in names}
    found = exported(folder, recipe, settings, 1234)
    dataset = load_digits()
    network = build_network(found.network, dataset.modalities, dataset.task)
    own = settings_of(build_network(recipe.network, dataset.modalities, dataset.task).knobs())
    settings.pop("threshold", None)  # what it spends is kept instead
    assert settings_of(network.knobs()) == {**own, **settings}
    if router:
        assert found.network.router.macs == (1234 if "threshold" in names else None)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("router", [None, *ROUTERS])
def test_trained_and_evaluated_it_is_the_point(folder, few_digits, tmp_path, fusion, router):
    recipe, seed = recipe_of(fusion, router=router, data=few_digits), 11
    measured = Training()(
        recipe, seed=seed, division=0, folder=tmp_path / "trial", report=lambda *_: None, weight_sources={}
    )
    # With another seed than `train` derives, the network is another one; the setting is the same.
    for number in (1, len(measured.points) - 1):
        point = measured.points[number]
        found = exported(folder, recipe, point.knobs, point.macs).model_copy(update={"data": recipe.data})
        result = train_recipe(found, tmp_path / f"{number}", n_seeds=1, seed=0, device=CPU, report=lambda *_: None)
        judged = evaluate_checkpoint(Path(result.seeds[0].checkpoint), split="val", device=CPU)
        assert judged["value"] == result.seeds[0].val
        settings = {name: value for name, value in point.settings.items() if name != "threshold"}
        assert judged["settings"].items() >= settings.items()
        if router and 0 < point.settings["threshold"] < 1:
            assert judged["macs"] <= point.macs
        again = Training()(
            found, seed=seed, division=0, folder=tmp_path / f"again{number}", report=lambda *_: None, weight_sources={}
        )
        # The same seed: knobs have no part in training, so it is the very point that was exported.
        assert (again.points[0].metric, again.points[0].macs) == (point.metric, point.macs)
