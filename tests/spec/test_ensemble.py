"""Recipes of ensembles: what they contain, what is refused, and reading of both kinds of recipes."""

import copy

import pytest

from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.spec.ensemble import EnsembleRecipe, load_recipe, parse_recipe
from nasfuse.spec.recipe import Recipe

LEFT = {
    "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp", "depth": 1, "width": 4}}},
    "training": {"epochs": 3},
}
BOTH = {
    "network": {
        "route": ["left", "right"],
        "streams": {"left": {"encoder": "linear"}, "right": {"encoder": "linear"}},
        "fusion": {"kind": "late"},
    },
    "training": {"stream_loss": 0.5},
}
PLAIN = {"data": {"source": "digits"}, "ensemble": [LEFT, BOTH]}


def changed(number, **changes):
    plain = copy.deepcopy(PLAIN)
    for key, value in changes.items():
        plain["ensemble"][number][key].update(value)
    return plain


def test_members_are_the_recipes_of_single_networks():
    found = parse_recipe(PLAIN)
    assert isinstance(found, EnsembleRecipe)
    expected = tuple(Recipe.parse({"data": PLAIN["data"], **member}) for member in (LEFT, BOTH))
    assert found.members == expected
    assert found.network == tuple(member.network for member in expected)
    assert found.summary == f"ensemble of 2: {expected[0].summary} & {expected[1].summary}"
    (alone,) = expected[0].members
    assert alone is expected[0]


def test_a_file_is_read_as_it_was_written(tmp_path):
    found = parse_recipe({**PLAIN, "metric": "macro_f1"})
    (tmp_path / "r.yaml").write_text(found.to_yaml())
    again = load_recipe(tmp_path / "r.yaml")
    assert (again, again.hash) == (found, found.hash)
    single = found.members[1]
    (tmp_path / "s.yaml").write_text(single.to_yaml())
    assert load_recipe(tmp_path / "s.yaml") == single


def test_the_hash_depends_on_every_member():
    hashes = {
        parse_recipe(plain).hash
        for plain in (
            PLAIN,
            changed(0, training={"epochs": 4}),
            changed(1, network={"dropout": 0.5}),
            {**PLAIN, "ensemble": [LEFT, LEFT]},
        )
    }
    assert len(hashes) == 4


def test_defaults_of_a_network_are_added_as_in_a_recipe():
    fixed_point = {"kind": "equilibrium", "width": 8}
    found = parse_recipe(changed(1, network={"fusion": fixed_point}, training={"stream_loss": 0.0}))
    assert found.members[1].training.equilibrium is not None


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({**PLAIN, "ensemble": [LEFT]}, "ensemble: must have a length of at least 2"),
        ({**PLAIN, **LEFT}, "network: unknown key"),
        (changed(1, training={"epoch": 3}), r"ensemble\[1\]\.training\.epoch: unknown key; did you mean 'epochs'"),
        (
            changed(0, training={"equilibrium": {}}),
            r"ensemble\[0\]\.training\.equilibrium: it needs network\.fusion\.kind: equilibrium; remove one or add",
        ),
        (
            changed(1, network={"router": {"routes": ["left", "left+right"]}}),
            r"ensemble\[1\]\.network\.router: members of an ensemble are static networks; remove it",
        ),
    ],
)
def test_refusals(plain, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(plain)


def test_the_line_of_a_problem_in_a_member_is_named(tmp_path):
    text = parse_recipe(PLAIN).to_yaml().replace("stream_loss: 0.5", "stream_loss: 1.0", 1)
    text = text.replace("weights: equal", "weights: learned")
    (tmp_path / "r.yaml").write_text(text)
    line = text.splitlines().index("    stream_loss: 1.0") + 1
    with pytest.raises(ConfigError, match=rf"line {line}: ensemble\[1\]\.training\.stream_loss: 1 trains the streams"):
        load_recipe(tmp_path / "r.yaml")


def test_a_study_is_no_recipe(tmp_path):
    (tmp_path / "s.yaml").write_text("name: s\nspace: fusion\n")
    with pytest.raises(InvalidInputError, match="is a study, not a recipe"):
        load_recipe(tmp_path / "s.yaml")
