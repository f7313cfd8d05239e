"""Settings without effect: each is named with its reason where it changes nothing, and nowhere else."""

import warnings

import pytest

from nasfuse.data.sources.digits import load_digits
from nasfuse.errors import DataWarning
from nasfuse.experiment.idle_settings import idle_settings, warn_of_idle_elastic, warn_of_idle_settings
from nasfuse.experiment.run import make_space
from nasfuse.experiment.space_survey import SpaceSurvey
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.shipped import shipped_files
from nasfuse.spec.study import StudyConfig

PART = {"v": "mlp", "s": "conv", "q": "transformer", "i": "conv"}


def changed(recipe, **blocks):
    """The recipe with other values: `fusion`, `training` or `data`."""
    plain = recipe.to_plain()
    for block, values in blocks.items():
        place = plain["network"] if block == "fusion" else plain
        place[block] = {**place[block], **values}
    return Recipe.parse(plain)


@pytest.mark.parametrize(
    ("names", "training", "reason"),
    [
        ("v", {"shift": 0.2}, "no modality of the network is an image or a sequence without lengths that 0.2 of its"),
        ("s", {"shift": 0.2}, "no modality of the network is an image or a sequence without lengths"),
        ("q", {"shift": 0.2}, "no modality of the network is an image or a sequence without lengths"),
        ("s", {"flip": 0.2}, "no modality of the network is an image"),
        ("s", {"jitter": 0.2}, "no modality of the network is an image"),
        ("v", {"scale": 1.2}, "no modality of the network is an image"),
        ("i", {"shift": 0.05}, "no modality of the network is an image or a sequence without lengths that 0.05 of its"),
        ("q", {"input_noise": 0.1}, "the network reads token ids alone, which get no noise"),
        ("v", {"modality_dropout": 0.1}, "the network has one stream, which is never lost"),
        ("vs", {"mixup_at": "manifold"}, "training.mixup is 0, so nothing is mixed"),
        ("vq", {"ratio_weight": 1.0}, "no stream has a gumbel reducer"),
        ("v", {"focal_gamma": 1.0}, "the loss cross_entropy has no such option"),
        ("v", {"stream_loss": 0.5}, "the network has one stream, whose loss is that of the network"),
    ],
)
def test_of_training(make_recipe, dataset, names, training, reason):
    encoders = {name: PART[name] for name in names}
    recipe = make_recipe(encoders=encoders, fusion="concat" if len(names) > 1 else None, **training)
    (key,) = training
    found = idle_settings(recipe, dataset)
    assert list(found) == [f"training.{key}"]
    assert found[f"training.{key}"].startswith(reason)


def test_of_cross_validation(make_recipe, dataset):
    recipe = make_recipe(encoders={"v": "mlp"}, fusion=None, epochs=9, patience=3)
    assert not idle_settings(recipe, dataset)
    found = idle_settings(changed(recipe, data={"validation": {"folds": 3}, "val_fraction": 0.3}), dataset)
    assert found == {
        "data.val_fraction": "data.validation divides train and val into folds",
    }
    assert not idle_settings(changed(recipe, data={"validation": {}}), dataset), "shipped spaces set a patience"


@pytest.mark.parametrize(
    ("names", "training"),
    [
        ("vi", {"shift": 0.2}),
        ("vi", {"flip": 0.5, "scale": 1.2}),
        ("vq", {"input_noise": 0.1}),
        ("vq", {"modality_dropout": 0.1}),
        ("v", {"mixup_at": "manifold", "mixup": 0.2}),
        ("v", {"epochs": 5, "patience": 5}),
        ("v", {"label_smoothing": 0.1, "input_noise": 0.1, "mixup": 0.1}),
    ],
)
def test_what_has_an_effect_is_not_named(make_recipe, dataset, names, training):
    encoders = {name: PART[name] for name in names}
    recipe = make_recipe(encoders=encoders, fusion="concat" if len(names) > 1 else None, **training)
    assert idle_settings(recipe, dataset) == {}


@pytest.mark.parametrize(
    ("encoders", "fusion", "options", "found"),
    [
        ({"s": "random_conv"}, None, {"depth": 0}, {}),
        ({"s": "random_conv"}, None, {"depth": 0, "width": 8, "dropout": 0.1}, {"width", "dropout"}),
        ({"s": "random_conv"}, None, {"depth": 1, "width": 8, "dropout": 0.1}, {}),
        ({"s": "conv", "v": "mlp"}, "joint_tokens", {"readout": "max+mean"}, {"readout"}),
        ({"s": "conv", "v": "mlp"}, "concat", {"readout": "max+mean"}, {}),
    ],
)
def test_of_streams(make_recipe, dataset, encoders, fusion, options, found):
    plain = make_recipe(encoders=encoders, fusion=fusion).to_plain()
    kept = {"encoder": encoders["s"]}
    plain["network"]["streams"]["s"] = {**kept, **options}
    reasons = idle_settings(Recipe.parse(plain), dataset)
    assert set(reasons) == {f"network.streams.s.{name}" for name in found}


def test_augmentation_of_fixed_features_is_not_named(make_recipe, dataset):
    """A search draws noise and shifts for all networks of a shipped space."""
    recipe = make_recipe(encoders={"i": "random_conv"}, fusion=None, input_noise=0.1, shift=0.2)
    assert idle_settings(recipe, dataset) == {}


@pytest.mark.parametrize(("fusion", "is_idle"), [("late", True), ("concat", False)])
def test_dropout_before_the_head_of_linear_streams(make_recipe, dataset, fusion, is_idle):
    plain = make_recipe(encoders={"v": "linear", "s": "linear"}, fusion=fusion).to_plain()
    plain["network"]["dropout"] = 0.1
    assert list(idle_settings(Recipe.parse(plain), dataset)) == (["network.dropout"] if is_idle else [])


def test_a_ratio_weight_where_something_is_learnt(make_config, make_recipe, dataset):
    network = make_config({"q": "transformer"}, reducer=("gumbel", 0.5)).to_plain()
    plain = {**make_recipe(ratio_weight=1.0).to_plain(), "network": network}
    assert idle_settings(Recipe.parse(plain), dataset) == {}


@pytest.mark.parametrize(
    ("fusion", "idle"),
    [
        ({"gradient": "implicit", "gradient_steps": 2}, ["gradient_steps"]),
        ({"gradient": "phantom", "gradient_steps": 2}, []),
        ({"gradient": "unroll", "solver": "picard", "tolerance": 0.1}, ["solver", "tolerance"]),
        ({"gradient": "random_steps", "gradient_steps": 2}, []),
        ({"cell": "mixing", "level": "tokens", "gate": "tanh", "coupled": True}, ["level", "gate", "coupled"]),
        ({"cell": "mixing", "tied": False, "gradient": "unroll", "start": "zero"}, ["start"]),
        ({"gradient": "implicit", "solver": "broyden", "damping": 0.5}, ["damping"]),
        ({"gradient": "implicit", "solver": "picard", "damping": 0.5}, []),
    ],
)
def test_of_an_equilibrium(make_recipe, dataset, fusion, idle):
    recipe = changed(make_recipe(fusion="equilibrium"), fusion={"gradient": "implicit", **fusion})
    assert list(idle_settings(recipe, dataset)) == [f"network.fusion.{name}" for name in idle]


def test_of_the_losses(make_recipe, dataset):
    router = {"routes": ["v", "v+s"]}
    recipe = make_recipe(router=router, routing={"resource_weight": 0.0, "budget": 0.5})
    assert list(idle_settings(recipe, dataset)) == ["training.routing.budget"]
    assert idle_settings(make_recipe(router=router, routing={"budget": 0.5}), dataset) == {}
    equilibrium = make_recipe(fusion="equilibrium", equilibrium={"jacobian_weight": 0.0, "jacobian_frequency": 0.1})
    assert list(idle_settings(equilibrium, dataset)) == ["training.equilibrium.jacobian_frequency"]


def test_of_a_shipped_data_set():
    data = {"source": "digits", "val_fraction": 0.3, "modalities": {"left": "vector"}}
    network = {"route": ["left"], "streams": {"left": {"encoder": "mlp"}}}
    found = idle_settings(Recipe.parse({"data": data, "network": network}), load_digits())
    assert list(found) == ["data.modalities", "data.val_fraction"]
    assert found["data.val_fraction"] == "the data set digits is shipped and describes itself"


def test_reasons_are_one_sentence(make_recipe, dataset):
    recipe = make_recipe(encoders={"v": "mlp"}, fusion=None, modality_dropout=0.1)
    with pytest.warns(DataWarning, match=r"^training\.modality_dropout has no effect: the network has .*; remove it$"):
        warn_of_idle_settings([recipe], dataset)


def test_what_spaces_draw_gives_no_warning_in_a_recipe_that_may_be_exported(make_recipe, dataset):
    """Its hash is that of the trial, so it stays as it was drawn."""
    recipe = make_recipe(encoders={"v": "mlp"}, fusion=None, mixup_at="manifold", shift=0.1, modality_dropout=0.2)
    assert set(idle_settings(recipe, dataset)) == {
        "training.mixup_at",
        "training.shift",
        "training.modality_dropout",
    }
    with pytest.warns(DataWarning) as noted:
        warn_of_idle_settings([recipe], dataset, may_be_exported=True)
    assert [str(one.message).split()[0] for one in noted] == ["training.modality_dropout"]


def test_of_a_space_only_what_has_no_effect_anywhere(make_recipe, dataset):
    alone = make_recipe(encoders={"v": "mlp"}, fusion=None, modality_dropout=0.1, mixup_at="manifold")
    both = make_recipe(modality_dropout=0.1, mixup_at="manifold")
    with pytest.warns(DataWarning, match="mixup_at has no effect") as noted:
        warn_of_idle_settings([alone, both], dataset)
    assert len(noted) == 1


def test_the_shipped_study_has_none():
    study, dataset = StudyConfig.load(shipped_files("studies")["digits"]), load_digits()
    recipes = SpaceSurvey(study, make_space(study, dataset), dataset).recipes
    assert len(recipes) > 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_idle_settings(recipes, dataset)


def test_what_is_elastic_in_no_network(make_recipe):
    recipe = Recipe.parse({**make_recipe().to_plain(), "elastic": {"network.streams.v.width": [4]}})
    elastic = {"network.streams.*.width": [4, 64], "network.fusion.rank": [2]}
    with pytest.warns(DataWarning) as noted:
        warn_of_idle_elastic(elastic, [recipe])
    assert [str(one.message).split(" has no effect")[0] for one in noted] == [
        "elastic.network.streams.*.width: 64",
        "elastic.network.fusion.rank: 2",
    ]


def test_the_shipped_elastic_space_has_none():
    study = StudyConfig.of({"name": "x", "space": "elastic", "data": {"source": "digits"}, "budget": {"trials": 1}})
    dataset = load_digits()
    space = make_space(study, dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_idle_elastic(space.constants["elastic"], SpaceSurvey(study, space, dataset).recipes)
