"""Spaces written out for data: expansion, conditions, baselines, and recipes from every draw."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution

from nasfuse.domain.modality import ENCODERS, Modality
from nasfuse.errors import ConfigError
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.schema.yaml_file import read_document
from nasfuse.spec.shipped import shipped_files
from nasfuse.spec.space import SpaceConfig

VECTOR = Modality("v", "vector", (6,))
SEQUENCE = Modality("s", "sequence", (11, 5))
IMAGE = Modality("i", "image", (1, 8, 8))
BASE = {"metric": "accuracy", "data": {"source": "somewhere.npz"}}
WIDTH = {"choices": [8, 16]}
ROUTES = {"subsets": True}


def make(fields, *, modalities=(VECTOR, SEQUENCE, IMAGE), fixed=None, baselines=None, study=None):
    config = SpaceConfig.parse({"fields": fields, "fixed": fixed or {}, "baselines": baselines or {}})
    return Space(config, modalities, base=BASE, fixed=study)


def shipped(name, modalities):
    document = read_document(shipped_files("search_spaces")[name])
    return Space(SpaceConfig.parse(document.values, document=document), modalities, base=BASE)


def names(space):
    return [parameter.name for parameter in space.parameters]


def parameter(space, name):
    return next(one for one in space.parameters if one.name == name)


def draws(space, *, n_draws, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n_draws)]


def problems(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        make(*args, **kwargs)
    return [str(problem) for problem in caught.value.problems]


class TestExpansion:
    def test_a_star_is_every_stream_in_the_order_of_the_data(self):
        space = make({"network.streams.*.width": WIDTH})
        assert names(space) == [f"network.streams.{name}.width" for name in "vsi"]

    def test_kinds(self):
        space = make({"network.streams.*.width": {**WIDTH, "kinds": ["image", "sequence"]}})
        assert names(space) == ["network.streams.s.width", "network.streams.i.width"]
        assert names(make({"network.streams.*.width": {**WIDTH, "kinds": []}})) == []

    def test_encoders_are_filtered_by_kind(self):
        space = make(
            {
                "network.streams.*.encoder": {
                    "choices": ["transformer", "conv", "mlp", "linear", "random_conv", "resnet"]
                }
            }
        )
        found = {p.name.split(".")[2]: set(p.distribution.choices) for p in space.parameters}
        assert found == {"v": {"mlp", "linear"}, "s": set(ENCODERS["sequence"]), "i": set(ENCODERS["image"])}

    def test_a_modality_that_can_have_no_choice_keeps_its_default(self):
        space = make({"network.streams.*.encoder": {"choices": ["conv"]}})
        assert names(space) == ["network.streams.s.encoder", "network.streams.i.encoder"]
        assert space.recipe(draws(space, n_draws=1)[0]).network.streams["v"].encoder == "mlp"

    def test_a_default_may_depend_on_the_kind(self):
        entry = {"choices": ["mlp", "conv"], "default": {"image": "conv", "vector": "mlp"}}
        space = make({"network.streams.*.encoder": entry})
        found = {p.name.split(".")[2]: p.default for p in space.parameters}
        assert found == {"v": "mlp", "s": "mlp", "i": "conv"}, "the first choice where there is none"
        assert problems({"network.streams.s.encoder": entry}) == [
            "fields.network.streams.s.encoder.default: a default by kind needs a field of every stream "
            "(network.streams.*....)"
        ]

    def test_a_regression_has_no_fields_of_classes(self):
        fields = {"training.label_smoothing": {"choices": [0.0, 0.1]}, "training.lr": {"float": [1e-3, 1e-2]}}
        document = SpaceConfig.parse({"fields": fields})
        base = {"metric": "r2", "data": {"source": "mine.npz", "task": "regression"}}
        space = Space(document, (VECTOR,), base=base)
        assert names(space) == ["training.lr"]

    @pytest.mark.parametrize(
        ("task", "metric", "choices"),
        [
            ("regression", "r2", ["squared", "l1"]),
            ("multiclass", "accuracy", ["focal"]),
            ("multilabel", "auc", ["focal"]),
        ],
    )
    def test_losses_are_those_of_the_task(self, task, metric, choices):
        entry = {"choices": ["squared", "focal", "l1"]}
        document = SpaceConfig.parse({"fields": {"training.loss": entry, "training.lr": {"float": [1e-3, 1e-2]}}})
        space = Space(document, (VECTOR,), base={"metric": metric, "data": {"source": "mine.npz", "task": task}})
        (loss,) = (one for one in space.parameters if one.name == "training.loss")
        assert list(loss.distribution.choices) == choices

    def test_a_default_that_a_kind_cannot_have_does_not_count_for_it(self):
        space = make(
            {"network.streams.*.encoder": {"choices": ["conv", "mlp", "transformer"], "default": "transformer"}}
        )
        assert [p.default for p in space.parameters] == ["mlp", "transformer", "transformer"]

    def test_a_named_stream_wins_over_the_star(self):
        fields = {"network.streams.i.width": {"choices": [64]}, "network.streams.*.width": WIDTH}
        for space in (make(fields), make(dict(reversed(fields.items())))):
            assert parameter(space, "network.streams.i.width").distribution == CategoricalDistribution([64])
            assert parameter(space, "network.streams.v.width").distribution == CategoricalDistribution([8, 16])

    def test_subsets(self):
        assert make({"network.route": ROUTES}).parameters[0].distribution.choices == (
            *("v", "s", "i", "v+s", "v+i", "s+i"),
            "v+s+i",
        )
        assert make({"network.route": ROUTES}, modalities=[IMAGE]).parameters[0].distribution.choices == ("i",)

    def test_routes_by_choice(self):
        space = make({"network.route": {"choices": ["i+v", "all", "v+s+i", "s"], "default": "all"}})
        assert space.parameters[0].distribution.choices == ("v+i", "v+s+i", "s")
        assert space.parameters[0].default == "v+s+i"

    def test_defaults(self):
        space = make(
            {
                "training.lr": {"float": [1e-3, 1e-1], "log": True},
                "training.epochs": {"int": [1, 9], "default": 7},
                "training.batch_size": {"choices": [64, 32]},
            }
        )
        assert [p.default for p in space.parameters] == [pytest.approx(1e-2), 7, 64]


class TestConditions:
    @pytest.mark.parametrize(
        ("when", "route", "exists"),
        [
            ({"network.route": {"has": "i"}}, "v+i", True),
            ({"network.route": {"has": "i"}}, "v+s", False),
            ({"network.route": {"at_least": 2}}, "v", False),
            ({"network.route": {"at_least": 2}}, "v+s", True),
            ({"network.route": "i+v"}, "v+i", True),
            ({"network.route": ["all", "s"]}, "v+s+i", True),
            ({"network.route": "all"}, "v+i", False),
        ],
    )
    def test_on_a_route(self, when, route, exists):
        space = make({"training.lr": {"choices": [0.1], "when": when}, "network.route": ROUTES})
        assert names(space) == ["network.route", "training.lr"]
        drawn = space.suggest(optuna.trial.FixedTrial({"network.route": route, "training.lr": 0.1}))
        assert ("training.lr" in drawn) is exists

    def test_on_values_and_on_numbers(self):
        space = make(
            {
                "network.fusion.kind": {"choices": ["sum", "low_rank", "gated"]},
                "network.fusion.placement": {"int": [0, 3]},
                "network.fusion.rank": {"choices": [2], "when": {"network.fusion.kind": "low_rank"}},
                "network.fusion.dropout": {
                    "choices": [0.5],
                    "when": {"network.fusion.kind": ["sum", "gated"], "network.fusion.placement": {"at_least": 2}},
                },
            }
        )
        for drawn in draws(space, n_draws=40):
            kind, placement = drawn["network.fusion.kind"], drawn["network.fusion.placement"]
            assert ("network.fusion.rank" in drawn) is (kind == "low_rank")
            assert ("network.fusion.dropout" in drawn) is (kind != "low_rank" and placement >= 2)

    def test_a_star_in_a_condition_is_the_stream_of_the_field(self):
        space = make(
            {
                "network.streams.*.stride": {"choices": [2], "when": {"network.streams.*.encoder": "conv"}},
                "network.streams.*.encoder": {"choices": ["conv", "mlp"], "when": {"network.route": {"has": "*"}}},
                "network.route": ROUTES,
            }
        )
        for drawn in draws(space, n_draws=40):
            for name in "vsi":
                on_route = name in drawn["network.route"].split("+")
                assert (f"network.streams.{name}.encoder" in drawn) is on_route
                if on_route:
                    is_conv = drawn[f"network.streams.{name}.encoder"] == "conv"
                    assert (f"network.streams.{name}.stride" in drawn) is is_conv

    def test_on_a_fixed_field(self):
        fields = {"training.lr": {"choices": [0.1], "when": {"network.fusion.kind": "gated"}}}
        assert draws(make(fields, fixed={"network.fusion.kind": "gated"}), n_draws=1) == [{"training.lr": 0.1}]
        assert draws(make(fields, fixed={"network.fusion.kind": "sum"}), n_draws=1) == [{}]

    def test_a_condition_on_an_absent_field_does_not_hold(self):
        space = make(
            {
                "network.streams.*.stride": {"choices": [2], "kinds": ["image"]},
                "network.streams.*.dropout": {"choices": [0.5], "when": {"network.streams.*.stride": 2}},
                "network.streams.*.encoder": {"choices": ["conv"], "kinds": ["image"]},
            }
        )
        assert "network.streams.v.dropout" not in draws(space, n_draws=1)[0]
        assert "network.streams.i.dropout" in draws(space, n_draws=1)[0]


class TestFixed:
    def test_the_space_fixes_what_is_not_drawn(self):
        space = make({"training.lr": WIDTH | {"choices": [0.1]}}, fixed={"network.streams.*.width": 24})
        assert {stream.width for stream in space.recipe({}).network.streams.values()} == {24}

    def test_fixed_wins_over_fields_and_the_study_over_the_space(self):
        space = make(
            {"training.epochs": {"int": [1, 9]}, "training.lr": {"choices": [0.1]}},
            fixed={"training.epochs": 3},
            study={"training.epochs": 5, "training.lr": 0.25},
        )
        assert names(space) == []
        assert (space.recipe({}).training.epochs, space.recipe({}).training.lr) == (5, 0.25)

    def test_a_named_stream_wins_over_the_star_and_the_study_over_both(self):
        fixed = {"network.streams.i.width": 8, "network.streams.*.width": 16}
        for order in (fixed, dict(reversed(fixed.items()))):
            widths = make({"training.lr": {"choices": [0.1]}}, fixed=order).recipe({}).network.streams
            assert {name: stream.width for name, stream in widths.items()} == {"v": 16, "s": 16, "i": 8}
        space = make({"training.lr": {"choices": [0.1]}}, fixed=fixed, study={"network.streams.*.width": 4})
        assert {stream.width for stream in space.recipe({}).network.streams.values()} == {4}

    def test_a_route(self):
        space = make({"network.streams.*.width": WIDTH}, study={"network.route": ["i", "v"]})
        assert space.recipe({}).network.route == ("v", "i")
        assert make({"training.lr": {"choices": [1]}}, study={"network.route": "s"}).recipe({}).network.fusion is None

    def test_a_fixed_value_that_the_kind_does_not_have_is_left_out(self):
        space = make(
            {"network.fusion.kind": {"choices": ["sum", "low_rank"]}},
            fixed={
                "network.fusion.rank": 7,
                "network.streams.*.stride": 2,
                "network.streams.*.reducer.keep_ratio": 0.5,
            },
        )
        assert space.recipe({"network.fusion.kind": "low_rank"}).network.fusion.rank == 7
        streams = space.recipe({"network.fusion.kind": "sum"}).network.streams
        assert streams["i"].stride == 2
        assert streams["i"].reducer.keep_ratio == 0.5
        assert streams["v"].encoder == "mlp"


class TestBaselines:
    FIELDS = {  # noqa: RUF012
        "network.route": ROUTES,
        "network.streams.*.width": {"choices": [8, 16], "default": 16, "when": {"network.route": {"has": "*"}}},
        "network.fusion.kind": {"choices": ["concat", "sum"], "when": {"network.route": {"at_least": 2}}},
    }

    def test_all_and_each(self):
        space = make(
            self.FIELDS,
            baselines={
                "one": {"network.route": "each", "network.streams.*.width": 8},
                "late": {"network.route": "all", "network.fusion.kind": "sum"},
                "two": {"network.route": "i+v", "network.streams.i.width": 8},
            },
        )
        assert space.baselines == {
            **{f"one: {n}": {"network.route": n, f"network.streams.{n}.width": 8} for n in "vsi"},
            "late": {
                "network.route": "v+s+i",
                **{f"network.streams.{n}.width": 16 for n in "vsi"},
                "network.fusion.kind": "sum",
            },
            "two": {
                "network.route": "v+i",
                "network.streams.v.width": 16,
                "network.streams.i.width": 8,
                "network.fusion.kind": "concat",
            },
        }

    def test_equivalent_baselines_are_merged(self):
        baselines = {"each": {"network.route": "each"}, "all": {"network.route": "all"}, "concat": {}}
        assert list(make(self.FIELDS, modalities=[IMAGE], baselines=baselines).baselines) == ["each: i"]

    def test_the_study_leaves_out_what_it_contradicts(self):
        baselines = {
            "one": {"network.route": "each"},
            "concat": {"network.route": "all", "network.fusion.kind": "concat"},
            "sum": {"network.route": "all", "network.fusion.kind": "sum"},
        }
        assert list(make(self.FIELDS, baselines=baselines, study={"network.fusion.kind": "sum"}).baselines) == [
            *("one: v", "one: s", "one: i"),
            "sum",
        ]
        assert list(make(self.FIELDS, baselines=baselines, study={"network.route": "s"}).baselines) == ["one: s"]

    def test_the_study_decides_how_hand_made_designs_are_trained(self):
        fields = {"training.lr": {"choices": [0.1, 0.2]}}
        baselines = {"slow": {"training.lr": 0.1}}
        assert make(fields, baselines=baselines, study={"training.lr": 0.2}).baselines == {"slow": {}}

    def test_an_encoder_that_a_kind_cannot_have_is_left_out_for_it(self):
        fields = {"network.streams.*.encoder": {"choices": ["mlp", "transformer"]}}
        space = make(fields, baselines={"attention": {"network.streams.*.encoder": "transformer"}})
        assert list(space.baselines["attention"].values()) == ["mlp", "transformer", "transformer"]

    def test_a_field_of_other_kinds_may_be_named(self):
        fields = {"network.streams.*.stride": {"choices": [1, 2], "kinds": ["image"]}}
        baselines = {"coarse": {"network.streams.*.stride": 2}}
        assert make(fields, modalities=[VECTOR], baselines=baselines).baselines == {"coarse": {}}


class TestProblems:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            (
                {"training.lrr": WIDTH},
                "training.lrr: no recipe has a field training.lrr; did you mean training.lr?",
            ),
            ({"network": WIDTH}, "fields.network: no recipe has a field network"),
            ({"network.streams.*.widht": WIDTH}, "did you mean network.streams.*.width?"),
            ({"network.*.width": WIDTH}, "no recipe has a field network.*.width"),
            ({"metric": WIDTH}, "fields.metric: metric is set by the study, not by a space; remove it"),
            ({"data.source": WIDTH}, "data.source is set by the study"),
            ({"network.streams.x.width": WIDTH}, "the data has no modality 'x'; Known: i, s, v"),
            ({"network.streams.v.width": {**WIDTH, "kinds": ["image"]}}, "kinds needs a field of every stream"),
            ({"training.lr": {"subsets": True}}, "only network.route can have subsets; use choices"),
            ({"training.lr": {"float": [0, 1]}}, "0.0 is not a value of this field; change the range"),
            ({"training.epochs": {"float": [1, 2]}}, "1.0 is not a value of this field"),
            ({"network.route": {"int": [1, 2]}}, "1 is not a value of this field"),
            ({"network.fusion.kind": {"int": [1, 2]}}, "1 is not a value of this field"),
            ({"training.epochs": {"choices": [1, "x"]}}, "fields.training.epochs.choices: 'x' is not a value of this"),
            (
                {"network.fusion.kind": {"choices": ["sum", "summ"]}},
                "'summ' is not a value of this field; it is",
            ),
            ({"network.streams.*.encoder": {"choices": ["rnn"]}}, "it is one of linear, mlp, maxout, conv"),
            (
                {"network.streams.v.encoder": {"choices": ["conv"]}},
                "a modality of kind vector must be one of mlp",
            ),
            ({"network.route": {"choices": ["v+x"]}}, "fields.network.route: the data has no modality 'x'"),
            ({"training.epochs": {"int": [1, 3], "default": 4}}, "default: 4 is not in the distribution"),
            ({"training.epochs": {"int": [1, 3], "default": 2.0}}, "default: 2.0 is not in the distribution"),
            ({"network.route": {"subsets": True, "default": "x"}}, "the data has no modality 'x'"),
        ],
    )
    def test_of_fields(self, fields, expected):
        found = problems(fields)
        assert expected in found[0]
        assert len(found) == len(set(found))

    @pytest.mark.parametrize(
        ("when", "expected"),
        [
            ({"training.lr": 0.1}, "training.lr is no field of this space"),
            ({"network.fusion.knid": "sum"}, "did you mean network.fusion.kind?"),
            ({"network.fusion.kind": "summ"}, "'summ' is not a value of network.fusion.kind; change it"),
            ({"network.fusion.kind": {"at_least": 2}}, "network.fusion.kind is no number, so at_least means nothing"),
            ({"network.fusion.kind": {"has": "v"}}, "only network.route can have a stream"),
            ({"network.route": {"has": "x"}}, "the data has no modality 'x'"),
            ({"network.route": "v+x"}, "the data has no modality 'x'"),
            ({"network.route": {"has": "*"}}, "* stands for the stream of the field itself"),
            ({"network.streams.*.width": 8}, "* stands for the stream of the field itself"),
        ],
    )
    def test_of_conditions(self, when, expected):
        fields = {"network.fusion.kind": {"choices": ["sum"]}, "training.epochs": {"int": [1, 3], "when": when}}
        (only,) = problems(fields)
        assert only.startswith("fields.training.epochs.when: ")
        assert expected in only

    def test_one_problem_for_all_streams(self):
        fields = {"network.streams.*.width": {**WIDTH, "when": {"training.lr": 1}, "default": 9}}
        assert len(problems(fields)) == 2

    def test_a_cycle(self):
        fields = {
            "training.lr": {"choices": [1], "when": {"training.mixup": 1}},
            "training.mixup": {"choices": [1], "when": {"training.warmup": 0.5}},
            "training.warmup": {"choices": [0.5], "when": {"training.lr": 1}},
        }
        (only,) = problems(fields)
        assert only == (
            "fields.training.lr.when: these fields depend on each other: "
            "training.lr -> training.mixup -> training.warmup -> training.lr"
        )

    @pytest.mark.parametrize(
        ("fixed", "expected"),
        [
            ({"training.lr": "fast"}, "fixed.training.lr: 'fast' is not a value of this field"),
            ({"training.lr": None}, "None is not a value of this field"),
            ({"training.epoch": 3}, "no recipe has a field training.epoch; did you mean training.epochs?"),
            ({"network.fusion": {"kind": "sum"}}, "no recipe has a field network.fusion"),
            ({"network.streams.x.width": 8}, "the data has no modality 'x'"),
            ({"network.streams.v.encoder": "conv"}, "a modality of kind vector must be one of mlp"),
            ({"network.route": ["v", "x"]}, "fixed.network.route: the data has no modality 'x'"),
            ({"metric": "mae"}, "metric is set by the study"),
        ],
    )
    def test_of_fixed_values(self, fixed, expected):
        for found in (
            problems({"network.fusion.width": WIDTH}, fixed=fixed),
            problems({"network.fusion.width": WIDTH}, study=fixed),
        ):
            (only,) = found
            assert expected in only

    @pytest.mark.parametrize(
        ("baseline", "expected"),
        [
            ({"training.lr": 0.1}, "baselines.x.training.lr: no field of this space"),
            ({"network.fusion.knid": "sum"}, "did you mean network.fusion.kind?"),
            ({"network.fusion.kind": "concat"}, "'concat' is not in the distribution of network.fusion.kind"),
            ({"network.fusion.kind": "summ"}, "'summ' is not a value of this field"),
            ({"network.streams.*.encoder": "rnn"}, "'rnn' is not a value of this field"),
            (
                {"network.streams.*.encoder": "transformer"},
                "'transformer' is not in the distribution of",
            ),
            ({"network.streams.v.encoder": "conv"}, "a modality of kind vector must be one of mlp"),
            ({"network.streams.q.encoder": "conv"}, "no field of this space"),
            ({"network.route": "v+x"}, "the data has no modality 'x'"),
            ({"network.route": "v"}, "'v' contradicts network.route, which is 'v+s+i' in this space"),
            ({"network.fusion.placement": 3}, "3 contradicts network.fusion.placement, which is 1 in this space"),
        ],
    )
    def test_of_baselines(self, baseline, expected):
        found = problems(
            {
                "network.fusion.kind": {"choices": ["sum", "gated"]},
                "network.streams.*.encoder": {"choices": ["conv", "mlp"]},
            },
            fixed={"network.fusion.placement": 1},
            baselines={"x": baseline},
        )
        assert expected in found[0]
        assert all(one.startswith("baselines.x") for one in found)

    def test_of_a_baseline_that_is_no_network(self):
        fields = {"network.fusion.kind": {"choices": ["joint_tokens"]}, "network.fusion.width": {"choices": [6, 8]}}
        (only,) = problems(fields, fixed={"network.fusion.heads": 4}, baselines={"odd": {"network.fusion.width": 6}})
        assert only.startswith("baselines.odd: no valid network: network.fusion: heads must divide width, got heads 4")

    def test_all_at_once(self):
        found = problems(
            {
                "training.lrr": WIDTH,
                "training.lr": {"float": [-1, 1]},
                "training.mixup": {"choices": [0.5], "default": 1},
            },
            fixed={"training.epochs": 0},
            study={"training.epoch": 1},
            baselines={"x": {"training.warmup": 0.5}},
        )
        assert len(found) == 6


MODALITY_SETS = {
    "vector": [VECTOR],
    "sequence": [SEQUENCE],
    "image": [IMAGE],
    "two images": [IMAGE, Modality("j", "image", (3, 5, 4))],
    "all kinds": [VECTOR, SEQUENCE, IMAGE],
    "token ids": [VECTOR, Modality("q", "sequence", (9,), 13)],
}


@pytest.mark.parametrize("modalities", MODALITY_SETS.values(), ids=MODALITY_SETS)
@pytest.mark.parametrize("name", shipped_files("search_spaces"))
class TestShippedSpaces:
    def test_baselines_are_recipes(self, name, modalities):
        space = shipped(name, modalities)
        assert space.baselines
        recipes = [space.recipe(parameters) for parameters in space.baselines.values()]
        assert len({recipe.hash for recipe in recipes}) == len(recipes), "each is another design"
        for parameters in space.baselines.values():
            trial = optuna.trial.FixedTrial(parameters)
            assert space.suggest(trial) == parameters, "complete, and nothing idle"

    @settings(max_examples=5)
    @given(seed=st.integers(0, 10**6))
    def test_every_draw_is_a_recipe_and_comes_back(self, name, modalities, seed, tmp_path_factory):
        space = shipped(name, modalities)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        for _ in range(3):
            trial = study.ask()
            recipe = space.recipe(space.suggest(trial))
            path = tmp_path_factory.getbasetemp() / "drawn.yaml"
            path.write_text(recipe.to_yaml())
            assert Recipe.load(path) == recipe
            stored = study.trials[trial.number].params
            assert space.recipe(stored) == recipe
            assert space.suggest(optuna.trial.FixedTrial(stored)) == stored

    def test_every_parameter_is_drawn_sometimes(self, name, modalities):
        space = shipped(name, modalities)
        never = {path for path in names(space) if not path.endswith((".stride", ".keep_ratio", ".kind"))}
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(400 if len(modalities) > 1 else 0):
            never -= space.suggest(study.ask()).keys()
            if not never:
                return
        assert len(modalities) == 1, f"{never} were never drawn, and it is not for want of an encoder that has them"


def test_parameters_of_a_stored_trial_give_the_same_recipe(tmp_path):
    space = shipped("fusion", MODALITY_SETS["all kinds"])
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=url, study_name="x", sampler=optuna.samplers.RandomSampler(seed=1))
    recipes = [space.recipe(space.suggest(study.ask())) for _ in range(20)]
    stored = optuna.load_study(storage=url, study_name="x").trials
    assert [space.recipe(trial.params) for trial in stored] == recipes


def test_an_invalid_draw_raises_config_error():
    space = make({"network.streams.*.heads": {"choices": [3]}}, modalities=[SEQUENCE])
    with pytest.raises(ConfigError, match="heads must divide width, got heads 3 and width 32"):
        space.recipe({"network.streams.s.heads": 3})


def test_a_drawn_field_that_the_kind_does_not_have_is_an_error():
    space = make({"network.streams.*.stride": {"choices": [2]}}, modalities=[VECTOR])
    with pytest.raises(ConfigError, match=r"network\.streams\.v\.stride: unknown key"):
        space.recipe({"network.streams.v.stride": 2})


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("network.streams.*.widht", "cannot shrink; did you mean network.streams.*.width?"),
        ("network.streams.w.width", "cannot shrink; did you mean network.streams.v.width?"),
        ("network.fusion.kind", "cannot shrink; did you mean network.fusion.width?"),
        ("training.lr", "cannot shrink; those that can: network.streams.*.blocks, network.streams.*.depth, "),
    ],
)
def test_what_can_shrink_in_no_network_cannot_be_elastic(path, problem):
    found = problems({"network.streams.*.width": WIDTH}, fixed={"elastic": {path: [4]}}, modalities=[VECTOR])
    assert len(found) == 1
    assert found[0].startswith(f"fixed.elastic.{path}: {problem}")


def test_what_some_networks_have_can_be_elastic():
    elastic = {"network.streams.*.width": [4], "network.streams.v.heads": [1], "network.fusion.rank": [2]}
    space = make({"network.streams.*.width": WIDTH}, fixed={"elastic": elastic}, modalities=[VECTOR])
    assert space.recipe({"network.streams.v.width": 8}).elastic == {"network.streams.v.width": (4,)}
