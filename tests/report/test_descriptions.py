"""Descriptions of points: a network is described once, its other points by their settings."""

from dataclasses import replace

from nasfuse.report.descriptions import descriptions
from nasfuse.search.front import Candidate


def test_a_network_is_described_once(small_run):
    measured = small_run.candidates[0].measured

    def point(trial, number, knobs):
        one = replace(measured, knobs=knobs)
        network = f"network {trial}"
        return Candidate(trial, number, one, f"{network} | {one.setting}" if knobs else network)

    first = point(3, 2, {"threshold": 1.0, "route": "v"})
    second = point(3, 11, {"always": 1.0, "route": "v+s:1"})
    own, other = point(4, 0, {}), point(4, 1, {"max_steps": 3})
    ensemble = replace(own, summary="network 3 and network 4", members=(first, own))
    assert descriptions([first, second, other, own, ensemble]) == [
        "network 3 | always v",
        "as 3:2: always v+s:1",
        "network 4 | max_steps 3",
        "as 4:1: the setting of its training",
        "network 3 and network 4",
    ]
