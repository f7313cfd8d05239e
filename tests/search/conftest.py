"""A study of digits-like data that runs without networks: MACs are the sum of widths, the metric is told."""

import pytest

from nasfuse.domain.modality import Modality
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.search.scheduler import Scheduler
from nasfuse.search.space import Space
from nasfuse.spec.study import StudyConfig

SPACE = {
    "fields": {
        "network.route": {"subsets": True},
        "network.streams.*.width": {"choices": [8, 16, 32, 64], "when": {"network.route": {"has": "*"}}},
        "training.lr": {"float": [1e-3, 1e-1], "log": True},
    },
    "fixed": {"network.streams.*.encoder": "mlp"},
    "baselines": {"one": {"network.route": "each"}, "both": {"network.route": "all"}},
}
MODALITIES = (Modality("left", "image", (1, 8, 4)), Modality("right", "image", (1, 8, 4)))


@pytest.fixture
def make_study():
    def make(**changes):
        plain = {"name": "paper", "data": {"source": "digits"}, "space": SPACE, "budget": {"trials": 9}, "seed": 5}
        plain["sampler"] = "tpe"  # the default one takes longer; it is tested by itself
        budget = {"repeats": 1, **changes.pop("budget", plain["budget"])}
        return StudyConfig.parse({**plain, **changes, "budget": budget})

    return make


def macs_of(recipe):
    """What a network of this recipe costs, by the rule of the tests."""
    return sum(stream.width for stream in recipe.network.streams.values())


@pytest.fixture
def open_scheduler(make_study):
    """Opens a study in a storage as a driver would; the storage's earlier driver is dead."""

    def make(storage, study=None, *, reference=lambda: (0.1, 128.0), macs_of=macs_of, **options):
        study = study or make_study()
        base = {"metric": study.metric, "data": study.data.to_plain()}
        space = Space(study.space, MODALITIES, base=base, fixed=study.fixed)
        return Scheduler(storage, study, space, macs_of=macs_of, reference=reference, **options)

    return make


@pytest.fixture
def measured():
    def make(metric=0.5, macs=64, **changes):
        values = {"params": 10, "latency_s": 1e-3, "latency_iqr_s": 1e-4, "peak_bytes": 100, **changes}
        point = OperatingPoint(metric=metric, macs=macs, **values)
        return Measurements((point,), {"epochs": 4, "epochs_asked": 6})

    return make
