"""The user attributes of a study: what nasfuse stores about a study as a whole, beside its trials."""

from collections.abc import Iterable
from typing import Any, cast

import optuna

from nasfuse.domain.file_format import FORMAT, check_format
from nasfuse.errors import RunFolderError

#: Attributes that must be equal whenever a study is continued: hash of the study file, fingerprint of the data.
IDENTITY = ("study", "data")

_FORMAT = "format"
_REFERENCE = "reference"
_MAX_MACS = "max_macs"
_ROBUST_METRIC = "robust_metric"
_REPORTED = "reported_metric"
_VISIBILITY_LAG = "lag"
_SECONDS = "seconds"
_VOID = "void"


class StudyAttributes:
    """Typed access to the user attributes of one study; this is the only module that knows their keys."""

    def __init__(self, study: optuna.Study) -> None:
        """Reads from and writes to `study`."""
        self._study = study

    def check_format(self) -> None:
        """Checks that the study has the format of this version.

        Raises:
            RunFolderError: Another version of nasfuse has written the study.
        """
        name = self._study.study_name
        advice = "continue it with that version, or give the study another name or storage"
        check_format(f"the storage of study {name}", self._get(_FORMAT), advice=advice, error=RunFolderError)

    def claim_format(self) -> None:
        """Marks a study without attributes as one of the format of this version; checks that of any other study.

        Raises:
            RunFolderError: Another version of nasfuse has written the study.
        """
        if self._study.user_attrs:
            self.check_format()
        else:
            self._study.set_user_attr(_FORMAT, FORMAT)

    def identity(self, key: str) -> str | None:
        """Returns the attribute `key`, one of `IDENTITY`; None where it was not set."""
        assert key in IDENTITY
        return cast(str | None, self._get(key))

    def set_identity(self, key: str, value: str) -> None:
        """Sets the attribute `key`, one of `IDENTITY`."""
        assert key in IDENTITY
        self._study.set_user_attr(key, value)

    @property
    def reference(self) -> tuple[float, float] | None:
        """Reference point (metric, cost) of the hypervolume; None before the study has started."""
        found = self._get(_REFERENCE)
        return None if found is None else (found[0], found[1])

    @reference.setter
    def reference(self, point: tuple[float, float]) -> None:
        self._study.set_user_attr(_REFERENCE, list(point))

    @property
    def max_macs(self) -> int | None:
        """Largest number of MACs of an operating point on the front, as the last session had it; None for no limit."""
        return cast(int | None, self._get(_MAX_MACS))

    @max_macs.setter
    def max_macs(self, macs: int | None) -> None:
        self._study.set_user_attr(_MAX_MACS, macs)

    @property
    def reported(self) -> str | None:
        """Name of the metric that is reported beside the one that is selected by; None if there is one metric."""
        return cast(str | None, self._get(_REPORTED))

    @reported.setter
    def reported(self, name: str) -> None:
        self._study.set_user_attr(_REPORTED, name)

    @property
    def robust_metric(self) -> float | None:
        """Value that the metric must reach where a modality is missing; None for no limit."""
        return cast(float | None, self._get(_ROBUST_METRIC))

    @robust_metric.setter
    def robust_metric(self, value: float) -> None:
        self._study.set_user_attr(_ROBUST_METRIC, value)

    @property
    def visibility_lag(self) -> int | None:
        """Trainings that may be under way at once without changing what is suggested; None where it was not set."""
        return cast(int | None, self._get(_VISIBILITY_LAG))

    @visibility_lag.setter
    def visibility_lag(self, n_trainings: int) -> None:
        self._study.set_user_attr(_VISIBILITY_LAG, n_trainings)

    @property
    def seconds(self) -> float:
        """Wall-clock time that the search has taken, over all sessions."""
        return float(self._get(_SECONDS) or 0.0)

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._study.set_user_attr(_SECONDS, round(seconds, 2))

    @property
    def void(self) -> frozenset[int]:
        """Numbers of the trials that count as if they had never been handed out."""
        return frozenset(self._get(_VOID) or ())

    @void.setter
    def void(self, numbers: Iterable[int]) -> None:
        self._study.set_user_attr(_VOID, sorted(numbers))

    def _get(self, key: str) -> Any:
        return self._study.user_attrs.get(key)
