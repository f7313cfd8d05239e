"""MACs of features computed outside: of the modalities that the samples of each route need, and no others."""

import numpy as np
import pytest

from nasfuse.cost.outside import outside_macs
from nasfuse.data import Preprocessing, as_raw
from nasfuse.nn import build_network
from nasfuse.spec.data import DataConfig
from nasfuse.spec.network import NetworkConfig

#: MACs of a sample of each modality; the vector costs nothing outside.
MACS = {"s": 10, "i": 100}


@pytest.fixture
def make(make_config, modalities, task):
    def make(router=None):
        plain = make_config({"v": "mlp", "s": "conv", "i": "conv"}, fusion="sum").to_plain()
        return build_network(
            NetworkConfig.parse({**plain, **({"router": router} if router else {})}), list(modalities.values()), task
        )

    return make


def test_a_static_network_needs_all_its_modalities(make):
    assert outside_macs(make(), MACS) == 110
    assert outside_macs(make(), {}) == 0


@pytest.mark.parametrize(
    ("router", "expected"),
    [
        ({"reads": "inputs"}, [110, 110, 110]),  # the router reads every modality of every sample
        ({"reads": "cheapest_stream"}, [0, 10, 110]),
        ({"reads": "cheap_route"}, [0, 10, 110]),
        ({"kind": "sequential"}, [0, 10, 110]),
    ],
    ids=["inputs", "cheapest stream", "cheap route", "sequential"],
)
def test_a_route_needs_its_streams_and_what_the_choice_reads(make, router, expected):
    network = make({"routes": ["v", "v+s", "v+s+i"], **router})
    for number, macs in enumerate(expected):
        usage = tuple(float(number == other) for other in range(3))
        assert outside_macs(network, MACS, usage=usage) == macs
    assert [outside_macs(network, MACS, static=number) for number in range(3)] == [0, 10, 110]
    assert outside_macs(network, MACS, usage=(0.5, 0.25, 0.25)) == round(
        sum(x * y for x, y in zip(expected, (0.5, 0.25, 0.25), strict=True))
    )


def test_routes_need_not_extend_one_another(make):
    """The router reads the cheapest route, whose modality is computed for all samples."""
    network = make({"routes": ["s", "v+i"], "reads": "cheap_route"})
    assert [outside_macs(network, MACS, usage=usage) for usage in ((1.0, 0.0), (0.0, 1.0))] == [10, 110]
    assert [outside_macs(network, MACS, static=number) for number in (0, 1)] == [10, 100]


def test_the_data_name_what_their_modalities_cost():
    entries = {"a": {"kind": "vector", "outside_macs": 7}, "b": {"kind": "vector"}}
    config = DataConfig.parse({"source": "x.npz", "modalities": entries})
    raw = as_raw({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))})
    assert Preprocessing.fit(config.modalities, raw, np.arange(2)).outside_macs == {"a": 7}
    assert "outside_macs" not in str(config.modalities["b"].to_plain())
