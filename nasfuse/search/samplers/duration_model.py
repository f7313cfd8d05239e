"""Model of the durations of trainings, which ranks many draws quickly."""

import numpy as np

from nasfuse.search.samplers.domain import Array
from nasfuse.search.samplers.durations import Durations
from nasfuse.search.samplers.encoding import Encoding
from nasfuse.search.samplers.hyperparameters import OF_COUNTS, fit
from nasfuse.search.samplers.surrogate import Surrogate


class DurationModel:
    """Gaussian process of the logarithms of durations."""

    def __init__(self, durations: Durations, rows: Array, *, encoding: Encoding) -> None:
        """Fits the model to the durations of draws `rows` (n, p)."""
        logs = durations.log_seconds(rows)
        is_known = np.isfinite(logs)
        self._surrogate: Surrogate | None = None
        if is_known.any():
            features = encoding.features(rows[is_known])
            fitted = fit(features, logs[is_known], groups=encoding.groups, noise=OF_COUNTS)
            self._surrogate = Surrogate(features, logs[is_known], fitted=fitted)

    def log_seconds(self, encoded: Array) -> Array:
        """Returns the predicted logarithms of the seconds (n,) of encoded draws (n, d); 0 if none was estimated."""
        return np.zeros(len(encoded)) if self._surrogate is None else self._surrogate.predict(encoded)[0]
