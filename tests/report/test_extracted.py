"""The sentence that tells figures of sub-networks from those of networks trained alone."""

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.report.extracted import extracted_note
from nasfuse.search.front import Candidate


def candidate(**knobs):
    point = OperatingPoint(metric=0.5, macs=1, params=1, latency_s=1.0, latency_iqr_s=0.0, peak_bytes=1, knobs=knobs)
    return Candidate(0, 0, point, "x")


def test_fronts_without_sub_networks_need_no_note():
    assert extracted_note([]) is None
    assert extracted_note([candidate(), candidate(threshold=0.5)]) is None


def test_sub_networks_are_counted_also_in_ensembles():
    part = candidate(**{"network.fusion.width": 8})
    assert extracted_note([candidate(), part]).startswith("1 of 2 networks is a sub-network with the weights")
    ensemble = Candidate(0, 0, part.measured, "x", members=(part, candidate(), part))
    assert extracted_note([ensemble, part]).startswith("3 of 4 networks are sub-networks with")
