"""Recipes: YAML and back, a hash that means equality, and all problems of a file at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.domain.metric import METRICS
from nasfuse.errors import ConfigError, MissingFileError
from nasfuse.spec.recipe import Recipe

GOOD = """metric: accuracy
data:
  source: digits
network:
  route: [left, right]
  streams:
    left: {encoder: mlp}
    right: {encoder: mlp}
  fusion: {kind: concat}
"""

SHARE = st.floats(0, 1, exclude_min=True, exclude_max=True)
RATE = st.floats(0, 1, exclude_max=True)
REDUCERS = st.fixed_dictionaries(
    {}, optional={"kind": st.sampled_from(["max", "average"]), "keep_ratio": st.floats(1e-6, 1)}
)
TOKEN_REDUCERS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["max", "average", "attention", "strided", "top_k", "merge"]),
        "keep_ratio": st.floats(1e-6, 1),
        "at": st.integers(1, 64),
        "inference_keep_ratio": st.floats(1e-6, 1),
    },
)
DEPTHS = {"depth": st.integers(0, 64), "dropout": RATE}
STREAMS = st.one_of(
    st.fixed_dictionaries({"encoder": st.just("linear")}, optional={"statistics": st.booleans(), "dropout": RATE}),
    st.fixed_dictionaries(
        {"encoder": st.just("mlp")}, optional={**DEPTHS, "width": st.integers(1, 8192), "expansion": st.integers(1, 16)}
    ),
    st.fixed_dictionaries(
        {"encoder": st.just("conv")},
        optional={**DEPTHS, "width": st.integers(1, 8192), "stride": st.integers(1, 64), "reducer": REDUCERS},
    ),
    st.fixed_dictionaries(
        {"encoder": st.just("transformer")},
        optional={
            **DEPTHS,
            "heads": st.sampled_from([1, 2, 8]),
            "mlp_ratio": st.integers(1, 16),
            "window": st.integers(2, 1000),
            "readout": st.sampled_from(["mean", "cls"]),
            "reducer": TOKEN_REDUCERS,
        },
    ),
    st.fixed_dictionaries(
        {"encoder": st.just("resnet")},
        optional={
            "depth": st.integers(0, 8),
            "growth": st.floats(1, 4),
            "blocks": st.integers(1, 64),
            "block": st.sampled_from(["basic", "bottleneck", "nbt1d"]),
            "stride": st.sampled_from([1, 2, 4]),
        },
    ),
)
SITES = {"n_sites": st.integers(1, 65), "position": st.sampled_from(["first", "last"])}
PLACES = {"placement": st.integers(0, 64), "dropout": RATE}
FUSIONS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("late")}, optional={"weights": st.sampled_from(["equal", "learned"])}),
    *[
        st.fixed_dictionaries({"kind": st.just(kind)}, optional={**PLACES, "width": st.integers(1, 8192), **extra})
        for kind, extra in {
            "concat": {"expansion": st.integers(1, 16)},
            "sum": {},
            "gated": {"reduction": st.integers(1, 99)},
            "low_rank": {"rank": st.integers(1, 256)},
            "equilibrium": {
                "width": st.integers(4, 8192),
                "level": st.sampled_from(["features", "tokens"]),
                "coupled": st.booleans(),
                "gate": st.sampled_from(["linear", "sigmoid", "tanh"]),
                "max_steps": st.integers(16, 32),
                "tolerance": st.floats(0, 1, exclude_min=True, exclude_max=True),
                "cell": st.sampled_from(["deq", "mixing"]),
                "start": st.sampled_from(["inputs", "zero", "random"]),
                "gradient": st.sampled_from(["implicit", "phantom", "random_steps", "reversible"]),
                "inference_max_steps": st.integers(1, 16),  # at most the default of max_steps
                "spectral_bound": st.floats(0, 1e300, exclude_min=True),
            },
        }.items()
    ],
    *[
        st.fixed_dictionaries({"kind": st.just(kind)}, optional={**PLACES, "heads": st.sampled_from([1, 2, 8])})
        for kind in ("bottleneck", "cross_attention", "joint_tokens")
    ],
    st.fixed_dictionaries(
        {"kind": st.just("sites")},
        optional={**SITES, "operator": st.sampled_from(["se_add", "sum", "concat", "cross_attention", "bottleneck"])},
    ),
    st.fixed_dictionaries({"kind": st.just("chain")}, optional={**SITES, "width": st.integers(1, 8192)}),
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]*", fullmatch=True) | st.sampled_from(["no", "null", "true", "values"])
# PyYAML does not read its own writing of three rare line separators.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029")
ROUTERS = st.fixed_dictionaries(
    {},
    optional={
        "reads": st.sampled_from(["inputs", "cheapest_stream"]),
        "form": st.sampled_from(["linear", "mlp"]),
        "width": st.integers(1, 4096),
        "threshold": st.floats(0, 1),
        "macs": st.integers(1, 10**12),
    },
)
ROUTING = {
    "resource_weight": st.floats(0, 1e300),
    "budget": st.floats(0, 1, exclude_min=True),
    "temperature": st.floats(0, 1e300, exclude_min=True),
    "final_temperature": st.floats(0, 1e300, exclude_min=True),
    "gumbel": st.booleans(),
}
ROUTINGS = st.one_of(
    st.fixed_dictionaries({}, optional={**ROUTING, "first_stage": SHARE, "freeze": st.booleans()}),
    st.fixed_dictionaries({"freeze": st.just(False)}, optional={**ROUTING, "first_stage": RATE}),
)
TEXTS = st.text(CHARACTERS, min_size=1, max_size=20) | st.sampled_from(["1e3", "no", "null", "-.5", " a", "#"])
MODALITIES = st.sampled_from(["vector", "sequence", "image"]) | st.fixed_dictionaries(
    {"kind": st.sampled_from(["vector", "sequence", "image"])},
    optional={"array": TEXTS, "index": TEXTS, "lengths": TEXTS, "vocabulary": st.integers(2, 10**6)}
    | {"padding": st.sampled_from(["left", "right"])},
)


def reads_no_target(data):
    modalities = data.get("modalities", {}).items()
    read = {entry.get("array", name) if isinstance(entry, dict) else name for name, entry in modalities}
    return data.get("target", "y") not in read


@st.composite
def recipes(draw):
    route = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    network = {"route": route, "streams": {name: draw(STREAMS) for name in route}, "dropout": draw(RATE)}
    if len(route) > 1:
        network["fusion"] = draw(FUSIONS)
        if network["fusion"]["kind"] == "sites":  # which linear streams do not have
            of_stages = STREAMS.filter(lambda stream: stream["encoder"] != "linear")
            network["streams"] = {name: draw(of_stages) for name in route}
    data = st.fixed_dictionaries(
        {"source": TEXTS},
        optional={
            "modalities": st.dictionaries(NAMES, MODALITIES, max_size=3),
            "target": TEXTS,
            "split": TEXTS,
            "group": TEXTS,
            "task": st.sampled_from(["multiclass", "multilabel", "regression"]),
            "val_fraction": SHARE,
        },
    ).filter(reads_no_target)
    positive = st.floats(0, 1e300, exclude_min=True)
    training = st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 10**9),
            "batch_size": st.integers(1, 10**9),
            "lr": positive,
            "weight_decay": st.floats(0, 1e300),
            "warmup": RATE,
            "clip_norm": positive,
            "patience": st.integers(1, 10**9),
            "mixup": st.floats(0, 1e300),
            "mixup_at": st.sampled_from(["inputs", "manifold"]),
            "modality_dropout": RATE,
        },
    )
    plain = {
        "metric": draw(st.sampled_from(sorted(METRICS))),
        "data": draw(data),
        "network": network,
        "training": draw(training),
    }
    if network.get("fusion", {}).get("kind") == "chain":
        plain["training"].pop("mixup_at", None)
    if len(route) > 1 and draw(st.booleans()):
        network["router"] = {"routes": [route[-1], "+".join(route)], **draw(ROUTERS)}
        # One epoch for the routes, one for the router.
        both = {"epochs": st.integers(2, 10**9), "mixup_at": st.just("inputs")}
        plain["training"] |= draw(st.fixed_dictionaries(both, optional={"routing": ROUTINGS}))
    return plain


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("recipe") / "r.yaml"


@pytest.fixture
def load(file):
    def load(text):
        file.write_bytes(text.encode())
        return Recipe.load(file)

    return load


@given(recipes())
def test_yaml_gives_the_equal_recipe_back(file, plain):
    recipe = Recipe.parse(plain)
    file.write_bytes(recipe.to_yaml().encode())
    again = Recipe.load(file)
    assert again == recipe
    assert again.hash == recipe.hash
    assert again.to_yaml() == recipe.to_yaml()


@given(recipes(), recipes())
def test_hashes_are_equal_exactly_where_recipes_are(one, other):
    a, b = Recipe.parse(one), Recipe.parse(other)
    assert (a.hash == b.hash) == (_without_path(a) == _without_path(b))


def _without_path(recipe):
    plain = recipe.to_plain()
    if plain["data"]["source"] != "digits":
        plain["data"].pop("source")
    return plain


def test_the_path_of_a_file_is_no_part_of_the_hash(load):
    here, there = (load(GOOD.replace("digits", f"{name}/x.npz")) for name in ("here", "there"))
    assert here.hash == there.hash
    assert here.hash != load(GOOD).hash
    other = load(GOOD.replace("source: digits", "source: here/x.npz\n  target: z"))
    assert other.hash != here.hash, "another array of the file"


def test_the_hash_is_pinned(load):
    # A change here makes every recorded trial unfindable.
    assert load(GOOD).hash == "fd154b14efdc"


def test_the_hash_does_not_depend_on_order_or_enumerated_defaults(load):
    written = Recipe.parse(load(GOOD).to_plain())
    turned = load(GOOD.replace("metric: accuracy\n", "") + "metric: accuracy\n")
    assert written.hash == turned.hash == load(GOOD).hash


@pytest.mark.parametrize(
    ("default", "other"),
    [
        ("stream_loss: 0.0", "stream_loss: 0.5"),
        ("class_weights: none", "class_weights: balanced"),
        ("focal_gamma: 2.0", "loss: focal"),
        ("flip: 0.0", "flip: 0.5"),
        ("scale: 1.0", "scale: 1.4"),
        ("jitter: 0.0", "jitter: 0.4"),
    ],
)
def test_later_fields_count_in_the_hash_unless_they_are_at_their_defaults(load, default, other):
    assert load(GOOD + f"training: {{{default}}}\n").hash == load(GOOD).hash
    assert load(GOOD + f"training: {{{other}}}\n").hash != load(GOOD).hash


def test_alignment_counts_in_the_hash_where_there_is_some(load):
    text = GOOD.replace("source: digits", "source: x.npz%s")
    assert load(text % "\n  aligned: []").hash == load(text % "").hash
    assert load(text % "\n  aligned: [left, right]").hash != load(text % "").hash


def test_the_tokenizer_counts_in_the_hash_unless_it_is_the_default(load):
    text = GOOD.replace("source: digits", "source: x.csv\n  modalities: {left: {kind: text}, right: {kind: text%s}}")
    assert load(text % "").hash == load(text % ", tokenizer: words").hash == "e1d3df8f3cd2"
    assert load(text % "").hash != load(text % ", tokenizer: hashed").hash


def test_the_hash_contains_mixup_at_unless_it_is_the_default(load):
    assert load(GOOD + "training: {mixup_at: inputs}\n").hash == load(GOOD).hash
    assert load(GOOD + "training: {mixup_at: manifold}\n").hash != load(GOOD).hash


def test_every_field_is_written(load):
    plain = load(GOOD).to_plain()
    assert plain["training"]["lr"] == 3e-3
    assert plain["training"]["mixup_at"] == "inputs"
    assert plain["network"]["fusion"] == {
        "placement": 2,
        "width": 32,
        "dropout": 0.0,
        "expansion": 2,
        "kind": "concat",
    }


def test_the_summary_is_one_line(load):
    assert load(GOOD).summary == "left mlp 2x32 + right mlp 2x32 | concat at 2, width 32"
    alone = "data: {source: digits}\nnetwork: {route: [a], streams: {a: {encoder: conv, depth: 3, width: 8}}}"
    assert load(alone).summary == "a conv 3x8"


def test_a_modality_may_be_its_kind_alone(load):
    text = GOOD.replace("source: digits", "source: x.npz\n  modalities: {left: image, right: {kind: image}}")
    modalities = load(text).data.modalities
    assert modalities["left"] == modalities["right"]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "metric:",
            "metrik:",
            r"line 1: metrik: unknown key; did you mean 'metric'\? Known: data, elastic, metric, network, tr",
        ),
        ("metric: accuracy", "metric: 3", "line 1: metric: must be text, got 3$"),
        ("metric: accuracy", "metric: acuracy", "line 1: metric: 'acuracy' is not known; did you mean 'accuracy'"),
        ("source: digits", "sorce: digits", r"line 3: data\.sorce: unknown key; did you mean 'source'\?"),
        ("source: digits", "task: multiclass", r"line 2: data\.source: this key is required; add it$"),
        ("source: digits", "source: ''", r"line 3: data\.source: must have a length of at least 1, got ''$"),
        (
            "source: digits",
            "source: x\n  task: multi",
            r"line 4: data\.task: 'multi' is not known; did you mean 'multilabel'\? Known: multiclass, multilabel, reg",
        ),
        (
            "source: digits",
            "source: x\n  val_fraction: 1.0",
            r"line 4: data\.val_fraction: must be less than 1, got 1\.0$",
        ),
        (
            "source: digits",
            "source: x\n  validation: {folds: 1}",
            r"line 4: data\.validation\.folds: must be at least 2, got 1$",
        ),
        (
            "source: digits",
            "source: x\n  validation: {fold: 5}",
            r"line 4: data\.validation\.fold: unknown key; did you mean 'folds'\? Known: folds, repeats",
        ),
        (
            "source: digits",
            "source: x\n  modalities: {a: vektor}",
            r"line 4: data\.modalities\.a\.kind: 'vektor' is not known; did you mean 'vector'\? Known: ",
        ),
        (
            "source: digits",
            "source: x\n  modalities: {3a: image}",
            r"data\.modalities\.3a: must begin with a letter or _;",
        ),
        ("data:\n  source: digits\n", "", "  data: this key is required; add it$"),
        (
            "data:\n  source: digits\n",
            "data: digits\n",
            "line 2: data: must be a mapping .keys with values., got 'digits'$",
        ),
        (
            "{kind: concat}",
            "{kind: concatt}",
            r"line 9: network\.fusion\.kind: 'concatt' is not known; did you mean 'concat'\? Known: bottleneck, chain",
        ),
        (
            "{kind: concat}",
            "{width: 4}",
            r"network\.fusion: the key 'kind' is required, because it determines the other keys; add it$",
        ),
        ("{kind: concat}", "concat", r"line 9: network\.fusion: must be a mapping .keys with values., got 'concat'$"),
        (
            "{kind: concat}",
            "{kind: equilibrium, max_steps: 0}",
            r"line 9: network\.fusion\.max_steps: must be at least 1, got 0$",
        ),
        (
            "{kind: concat}",
            "{kind: equilibrium, gradient: unroll, inference_max_steps: 3}",
            r"line 9: network\.fusion\.inference_max_steps: gradient: unroll always takes max_steps steps; remove it$",
        ),
        (
            "{kind: concat}",
            "{kind: equilibrium, max_steps: 4, inference_max_steps: 5}",
            r"line 9: network\.fusion\.inference_max_steps: 5 is above max_steps 4; lower it$",
        ),
        (
            "{kind: concat}",
            "{kind: equilibrium, tied: false, cell: mixing}",
            r"line 9: network\.fusion\.tied: false needs cell: mixing and gradient: unroll, got mixing and implicit",
        ),
        (
            "{kind: concat}",
            "{kind: equilibrium, tied: false, gradient: unroll}",
            r"line 9: network\.fusion\.tied: false needs cell: mixing and gradient: unroll, got deq and unroll",
        ),
        (
            "{kind: concat}",
            "{kind: concat}\ntraining: {equilibrium: {jacobian_weight: 1}}",
            r"training\.equilibrium: it needs network\.fusion\.kind: equilibrium; remove one or add the other$",
        ),
        (
            "source: digits",
            "source: x.npz\n  task: regression\ntraining: {label_smoothing: 0.1}",
            r"line 5: training\.label_smoothing: a regression has no labels to smooth; remove it$",
        ),
        (
            "source: digits",
            "source: x.npz\n  task: regression\ntraining: {class_weights: balanced}",
            r"line 5: training\.class_weights: a regression has no classes to weight; remove it$",
        ),
        (
            "source: digits",
            "source: x.npz\ntraining: {class_weights: median_frequency}",
            r"line 4: training\.class_weights: median_frequency is a rule for pixels, not for a multiclass",
        ),
        (
            "source: digits",
            "source: x.npz\n  modalities: {left: image, right: image}\n  aligned: [left, rigth]",
            r"line 5: data\.aligned: 'rigth' is no modality of the data; did you mean 'right'\?",
        ),
        (
            "source: digits",
            "source: x.csv\n  target: [a, b]\n  modalities:\n    left: {kind: table, columns: {b: number}}",
            r"line 6: data\.modalities\.left: reads b, which is a target; remove it from one of them$",
        ),
        (
            "source: digits",
            "source: x.npz\n  target: left\n  modalities: {left: image, right: image}",
            r"line 5: data\.modalities\.left: reads left, which is a target; remove it from one of them$",
        ),
        (
            "source: digits",
            "source: x.npz\n  aligned: [left, left]",
            r"line 4: data\.aligned: must be different modalities, got left twice; remove one$",
        ),
        (
            "source: digits",
            "source: x.npz\n  task: regression\ntraining: {loss: focal}",
            r"line 5: training\.loss: focal does not apply to a regression task; use huber or l1 or squared$",
        ),
        (
            "source: digits",
            "source: x.npz\ntraining: {loss: focus}",
            r"line 4: training\.loss: 'focus' is not known; did you mean 'focal'\? Known: cross_entropy, focal",
        ),
        (
            "{kind: concat}",
            "{kind: joint_tokens, heads: 5}",
            r"line 9: network\.fusion: heads must divide width, got heads 5 and width 32; change one of them$",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: transformer, heads: 3}",
            r"line 7: network\.streams\.left: heads must divide width, got heads 3 and width 32; change one of them$",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: transfomer}",
            r"line 7: network\.streams\.left\.encoder: 'transfomer' is not known; did you mean 'transformer'\? Known",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: mlp, heads: 2}",
            r"streams\.left\.heads: unknown key; Known: depth, dropout, encoder, expansion, width$",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: conv, reducer: {kind: mx}}",
            r"line 7: network\.streams\.left\.reducer\.kind: 'mx' is not known; did you mean 'max'\? Known: average",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: conv, reducer: {kind: max, keep_ratio: 0}}",
            r"network\.streams\.left\.reducer\.keep_ratio: must be at least 1e-06, got 0$",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: conv, reducer: {kind: merge}}",
            r"streams\.left\.reducer\.kind: 'merge' is not known; did you mean 'average'\? Known: average, max$",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: transformer, reducer: {kind: latent, keep_ratio: 0.5, inference_keep_ratio: 0.2}}",
            r"streams\.left\.reducer\.inference_keep_ratio: latent is trained for a single keep_ratio; remove it$",
        ),
        (
            "left: {encoder: mlp}",
            "left: {encoder: transformer, window: 1}",
            r"streams\.left\.window: must be at least 2, got 1$",
        ),
        (
            "{kind: concat}",
            "{kind: joint_tokens, reducer: {kind: gumbel}}",
            r"fusion\.reducer\.kind: 'gumbel' is not known; Known: attention, average, max, merge, strided, top_k$",
        ),
        ("[left, right]", "[left, left]", "line 4: network: route names a stream twice: left, left; name each once$"),
        ("[left, right]", "[left, up]", "route names up, which is missing from streams; add it there$"),
        ("[left, right]", "[left]", "streams has right, which is not on the route; remove it$"),
        ("[left, right]", "[]", r"line 5: network\.route: must have a length of at least 1, got"),
        ("[left, right]", "left", r"line 5: network\.route: must be a list, got 'left'$"),
        ("  fusion: {kind: concat}\n", "", r"a route of several streams needs fusion; add it, for example \{kind: c"),
        (
            "  route: [left, right]\n  streams:\n    left: {encoder: mlp}\n",
            "  route: [right]\n  streams:\n",
            "a route of one stream has nothing to fuse; remove fusion or add a stream$",
        ),
        ("metric: accuracy", "training: {lr: fast}", r"training\.lr: must be a number, got 'fast'$"),
        ("metric: accuracy", "training: {lr: .inf}", r"training\.lr: must be a finite number, got inf$"),
        ("metric: accuracy", "training: {mixup: .nan}", r"training\.mixup: must be a finite number, got nan$"),
        ("metric: accuracy", "training: {mixup_at: manyfold}", "'manyfold' is not known; did you mean 'manifold'"),
        ("metric: accuracy", "training: {epochs: 2.5}", r"training\.epochs: must be an integer, got 2\.5$"),
        ("metric: accuracy", "training: {epochs: 0}", r"training\.epochs: must be at least 1, got 0$"),
        ("metric: accuracy", "training: {epochs: true}", r"training\.epochs: must be an integer, got True$"),
        (
            "metric: accuracy",
            "training: {lrr: 2}",
            r"training\.lrr: unknown key; did you mean 'lr'\? Known: batch_size",
        ),
    ],
)
def test_messages_name_the_line_and_the_correction(load, old, new, match):
    assert old in GOOD
    with pytest.raises(ConfigError, match=match):
        load(GOOD.replace(old, new))


def test_all_problems_come_at_once_in_the_order_of_the_file(load):
    text = (
        "metrik: x\ndata:\n  sourc: digits\nnetwork:\n  route: [a, mlp]\n  streams:\n    a: {encoder: mpl}\n"
        "    mlp: {encoder: mlp, widht: 3}\ntraining:\n  epochs: -1\n"
    )
    with pytest.raises(ConfigError, match="has 6 problems") as caught:
        load(text)
    assert [(problem.line, problem.where) for problem in caught.value.problems] == [
        (1, "metrik"),
        (2, "data.source"),
        (3, "data.sourc"),
        (7, "network.streams.a.encoder"),
        (8, "network.streams.mlp.widht"),
        (10, "training.epochs"),
    ]


def test_a_recipe_cannot_be_changed(load):
    with pytest.raises(ValueError, match="frozen"):
        load(GOOD).metric = "mae"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"no such file: .*absent\.yaml"):
        Recipe.load(tmp_path / "absent.yaml")


def test_how_an_equilibrium_is_trained_is_enumerated():
    network = {"route": ["a", "b"], "streams": {"a": {"encoder": "mlp"}, "b": {"encoder": "mlp"}}}
    plain = {"data": {"source": "digits"}, "network": {**network, "fusion": {"kind": "equilibrium"}}}
    recipe = Recipe.parse(plain)
    assert recipe.to_plain()["training"]["equilibrium"] == {"jacobian_weight": 1.0, "jacobian_frequency": 0.5}
    assert recipe.summary.endswith("equilibrium at 2, width 32, linear gate, at most 16 steps")
    plain["network"]["fusion"] |= {"inference_max_steps": 4, "coupled": True}
    plain["training"] = {"equilibrium": {"jacobian_weight": 3.0}}
    changed = Recipe.parse(plain)
    assert changed.training.equilibrium.jacobian_weight == 3.0
    assert changed.summary.endswith("linear gate, coupled, at most 16 steps (steps 4 after training)")
    plain["network"]["fusion"] = {"kind": "equilibrium", "gradient": "unroll", "max_steps": 5, "level": "tokens"}
    assert Recipe.parse(plain).summary.endswith("linear gate, tokens, 5 tied steps")
    mixing = {"kind": "equilibrium", "cell": "mixing", "gradient": "random_steps", "max_steps": 8}
    plain["network"]["fusion"] = {**mixing, "inference_max_steps": 12}
    assert Recipe.parse(plain).summary.endswith("mixing cell, at most 8 steps (steps 12 after training)")
    plain["network"]["fusion"] = {**mixing, "gradient": "unroll", "tied": False}
    assert Recipe.parse(plain).summary.endswith("mixing cell, 8 untied steps")


def test_an_equilibrium_without_later_fields_has_the_hash_of_before():
    network = {"route": ["a", "b"], "streams": {"a": {"encoder": "mlp"}, "b": {"encoder": "mlp"}}}
    plain = {"data": {"source": "digits"}, "network": {**network, "fusion": {"kind": "equilibrium"}}}
    assert not {"cell", "tied"} & Recipe.parse(plain).to_plain()["network"]["fusion"].keys()
    plain["network"]["fusion"] = {"kind": "equilibrium", "cell": "mixing"}
    assert Recipe.parse(Recipe.parse(plain).to_plain()).network.fusion.cell == "mixing"


def test_a_reversible_equilibrium_has_few_steps():
    network = {"route": ["a", "b"], "streams": {"a": {"encoder": "mlp"}, "b": {"encoder": "mlp"}}}
    fusion = {"kind": "equilibrium", "gradient": "reversible", "max_steps": 33}
    with pytest.raises(ConfigError, match="reversible reconstructs at most 32 steps exactly, got 33; lower it"):
        Recipe.parse({"data": {"source": "digits"}, "network": {**network, "fusion": fusion}})
