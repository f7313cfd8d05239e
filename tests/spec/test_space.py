"""The schema of spaces: what a field may be drawn from, and every mistake in words."""

import math

import pytest
import yaml

from nasfuse.errors import ConfigError
from nasfuse.spec.space import FieldConfig, SpaceConfig


def space(**field):
    return SpaceConfig.parse({"fields": {"training.lr": field}})


@pytest.mark.parametrize(
    "field",
    [
        {"choices": ["a", 2, 0.5, True]},
        {"choices": ["only"]},
        {"int": [1, 1]},
        {"int": [-4, 4], "step": 2},
        {"int": [1, 64], "log": True, "default": 8},
        {"float": [0, 1]},
        {"float": [0.1, 0.7], "step": 0.1},
        {"float": [1e-4, 1e-2], "log": True},
        {"subsets": True},
        {"choices": [1], "when": {"a": 1, "b": [1, "x"], "c": {"has": "*"}, "d": {"at_least": 2}}},
        {"choices": [1], "when": {"c": {"has": "left", "at_least": 2}}},
        {"choices": [1], "kinds": ["image", "vector"]},
        {"choices": ["each > all", "v > v+s:1"], "subsets": True},
        {"choices": [1], "when": {"c": {"dynamic": True}, "d": {"dynamic": False, "has": "left"}}},
    ],
)
def test_valid_fields(field):
    parsed = space(**field)
    assert SpaceConfig.parse(parsed.to_plain()) == parsed
    assert yaml.safe_load(yaml.safe_dump(parsed.to_plain())) == parsed.to_plain()


@pytest.mark.parametrize(
    ("n_samples", "choices", "default"),
    [
        (30, (80,), 80),  # none is within the limits
        (245, (40, 80), 40),
        (1437, (10, 20, 40, 80), 20),
        (8000, (5, 10, 20, 40), 20),
        (34_000, (5, 10), 10),
        (1_000_000, (5,), 5),
    ],
)
def test_choices_of_epochs_for_a_number_of_samples(n_samples, choices, default):
    field = {"choices": [5, 10, 20, 40, 80], "default": 20, "samples": [7500, 350_000]}
    found = space(**field).for_samples(n_samples).fields["training.lr"]
    assert (found.choices, found.default) == (choices, default)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({}, r"fields.training.lr: give exactly one of choices, int, float and subsets"),
        ({"int": [1, 2], "float": [1, 2]}, "give exactly one of"),
        ({"int": [3, 1]}, r"the range is empty: 3 is above 1; swap them"),
        ({"float": [1, 0.5]}, r"the range is empty: 1.0 is above 0.5"),
        ({"int": [1]}, r"fields.training.lr.int"),
        ({"int": [1, 2, 3]}, r"fields.training.lr.int"),
        ({"int": [1.5, 2]}, r"fields.training.lr.int\[0\]"),
        ({"int": "1-3"}, r"fields.training.lr.int"),
        ({"float": [0, math.inf]}, r"fields.training.lr.float\[1\].* finite"),
        ({"float": [math.nan, 1]}, r"fields.training.lr.float\[0\].* finite"),
        ({"choices": []}, r"fields.training.lr: choices is empty; give at least one value"),
        ({"choices": [[1], 2]}, r"choices\[0\]: a value must be a word, a finite number, true or false, got \[1\]"),
        ({"choices": [None]}, r"choices\[0\]: a value must be a word"),
        ({"choices": [math.inf]}, r"choices\[0\]: a value must be a word, a finite number"),
        ({"choices": [1, 1.0]}, "choices has a value twice; keep one"),
        ({"choices": [0.5], "samples": [1, 2]}, "samples needs choices of whole numbers above 0, the epochs"),
        ({"int": [1, 2], "samples": [1, 2]}, "samples needs choices of whole numbers above 0, the epochs"),
        ({"choices": ["a", "a"]}, "choices has a value twice; keep one"),
        ({"float": [0, 1], "log": True}, "log needs a range of numbers above 0"),
        ({"choices": [1], "log": True}, "log needs a range of numbers above 0"),
        ({"int": [1, 8], "log": True, "step": 1}, "a range cannot have both log and step"),
        ({"int": [1, 3], "step": 0.5}, "the step of an int range must be a whole number, got 0.5"),
        ({"int": [1, 3], "step": 0}, r"fields.training.lr.step: must be greater than 0"),
        (
            {"int": [0, 3], "step": 2},
            r"the range 0 to 3 must be a whole number of steps, got step 2\.0; change one of them",
        ),
        (
            {"float": [0, 1], "step": 0.3},
            r"the range 0\.0 to 1\.0 must be a whole number of steps, got step 0\.3; change one of them",
        ),
        ({"choices": [1], "step": 1}, "step needs a range"),
        ({"subsets": True, "step": 1}, "step needs a range"),
        ({"choices": [1], "default": [1]}, r"default: a value must be a word"),
        ({"choices": [1], "kinds": ["sound"]}, r"kinds\[0\]: 'sound' is not known; Known: image, sequence, vector"),
        ({"choices": [1], "when": {"a": {"hass": "x"}}}, r"when: a needs a value, .*got {'hass': 'x'}"),
        ({"choices": [1], "when": {"a": {}}}, r"when: a needs a value"),
        ({"choices": [1], "when": {"a": []}}, r"when: a needs a value"),
        ({"choices": [1], "when": {"a": None}}, r"when: a needs a value"),
        ({"choices": [1], "when": {"a": [[1]]}}, r"when: a needs a value"),
        ({"choices": [1], "when": {"a": {"has": 3}}}, r"when: a: has must name a stream, got 3"),
        ({"choices": [1], "when": {"a": {"at_least": "two"}}}, r"when: a: at_least must be a number, got 'two'"),
        ({"choices": [1], "when": {"a": {"at_least": True}}}, r"at_least must be a number"),
        ({"choices": [1], "when": {"a": {"dynamic": 1}}}, r"when: a: dynamic must be true or false, got 1"),
        ({"choices": [1], "when": {"a": {"dynamic": "yes"}}}, r"a: dynamic must be true or false, got 'yes'"),
        ({"choices": [1], "when": {"a": {"dynamick": True}}}, r"\{at_least: n\} or \{dynamic: true\}, got {'dynamick'"),
        ({"subsets": True, "int": [1, 2]}, "give exactly one of choices, int, float and subsets"),
        ({"choices": [1], "when": "a"}, r"fields.training.lr.when"),
        ({"choises": [1]}, r"fields.training.lr.choises: unknown key; did you mean 'choices'\? Known: .*float, int,"),
    ],
)
def test_invalid_fields(field, message):
    with pytest.raises(ConfigError, match=message):
        space(**field)


@pytest.mark.parametrize(
    "field",
    [
        {"choices": [[1]]},
        {"default": [1], "choices": [1]},
        {"choices": [1], "when": {"a": {"b": [1]}}},
        {"int": [3, 1]},
    ],
)
def test_a_mistake_is_reported_once(field):
    with pytest.raises(ConfigError, match="has 1 problem") as caught:
        space(**field)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "fields: this key is required"),
        ({"fields": {}}, "fields: .*at least 1"),
        ({"fields": {"a": {"choices": [1]}}, "field": 1}, "field: unknown key; did you mean 'fields'"),
        ({"fields": {"a": {"choices": [1]}}, "baselines": {"x": 3}}, "baselines.x: "),
        ({"fields": {"a": 3}}, "fields.a: "),
        ({"fields": ["a"]}, "fields: "),
        ([1], "the configuration has 1 problem"),
        (None, "the configuration has 1 problem"),
    ],
)
def test_invalid_spaces(values, message):
    with pytest.raises(ConfigError, match=message):
        SpaceConfig.parse(values)


def test_all_problems_at_once():
    with pytest.raises(ConfigError, match="has 4 problems") as caught:
        SpaceConfig.parse(
            {"fields": {"a": {"int": [3, 1]}, "b": {}, "c": {"choices": [1], "whenn": {}}}, "baseline": {}}
        )
    assert {problem.where for problem in caught.value.problems} == {
        "fields.a",
        "fields.b",
        "fields.c.whenn",
        "baseline",
    }


def test_a_space_is_written_in_the_short_form():
    plain = {"fields": {"training.lr": {"float": [0.001, 0.01], "log": True}}, "fixed": {"training.epochs": 3}}
    assert SpaceConfig.parse(plain).to_plain() == plain


def test_python_names_of_ranges_are_no_keys():
    with pytest.raises(ConfigError, match="integers: unknown key"):
        space(integers=[1, 2])
    assert FieldConfig.parse({"int": [1, 2]}).integers == (1, 2)
