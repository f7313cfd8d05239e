"""Study of small networks on digits, in plain form, for tests of searches."""

from typing import Any

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits"},
    "space": {
        "fields": {
            "network.route": {"subsets": True},
            "network.streams.*.width": {"choices": [8, 16, 32], "when": {"network.route": {"has": "*"}}},
            "training.lr": {"float": [1e-3, 1e-1], "log": True},
        },
        "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": 2},
        "recommended": ["both"],
        "baselines": {"one": {"network.route": "each"}, "both": {"network.route": "all"}},
    },
    "resources": {"workers": 1},
}
