"""The fitted preprocessing of a data set: how the raw columns of any rows become the arrays of its modalities."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nasfuse.data.columns import TRANSFORMS, Problem, Reading, Transform
from nasfuse.data.columns.base import Rows, text_of, warn_of_missing
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import ModalityConfig, ModalityEntry


@dataclass(frozen=True)
class Preprocessing:
    """Fitted transforms by modality, in the order of the data set.

    The result is what `nasfuse.data.layout.check_modality` takes; numbers are standardised afterwards, by the scales
    of the data set.

    Attributes:
        transforms: Transform of each modality.
    """

    transforms: Mapping[str, Transform] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        modalities: Mapping[str, ModalityEntry],
        raw: RawTable,
        rows: Rows,
        *,
        given: Mapping[str, Transform] | None = None,
    ) -> "Preprocessing":
        """Returns the preprocessing of `data.modalities`, fitted on the training samples.

        Args:
            modalities: Description of each modality.
            raw: All samples.
            rows: (k,) rows of the training samples.
            given: Transforms of modalities that are not fitted, but used as they are.

        Raises:
            DataError: A column does not exist, or does not fit its description.
        """
        known = given or {}
        return cls(
            {
                name: known[name] if name in known else TRANSFORMS[entry.kind].fit(name, entry, raw, rows)
                for name, entry in modalities.items()
            }
        )

    @classmethod
    def plain(cls, modalities: Mapping[str, ModalityArrays]) -> "Preprocessing":
        """Returns the preprocessing of data that were given as arrays: every modality is an array of its name."""
        entries = {
            name: ModalityConfig(kind=arrays.kind, vocabulary=arrays.vocabulary) for name, arrays in modalities.items()
        }
        return cls(
            {name: TRANSFORMS[entry.kind].from_state(_plain_state(name, entry)) for name, entry in entries.items()}
        )

    def read(
        self, raw: RawTable, *, filled: Container[str] = (), cuts: bool = False
    ) -> tuple[dict[str, ModalityArrays], tuple[Problem, ...]]:
        """Returns the arrays of all modalities for all rows of `raw`, and the values that cannot be used.

        A row with a problem has the values of a missing one in the modality of the problem, so that the other rows can
        be used all the same. A warning tells of missing values.

        Args:
            raw: Columns or arrays of all modalities.
            filled: Modalities that no row lacks: its missing values have the mean of the training samples.
            cuts: Whether a sequence longer than all of the training is cut, and not a problem.

        Raises:
            DataError: A column is absent or has another type than in the training data.
        """
        readings = {name: transform.read(raw) for name, transform in self.transforms.items()}
        problems = [problem for reading in readings.values() for problem in reading.problems]
        if not cuts:
            problems += [problem for reading in readings.values() for problem in reading.cut]
        arrays = {name: self._told(raw, name, reading, name in filled) for name, reading in readings.items()}
        return arrays, tuple(sorted(problems, key=lambda problem: problem.row))

    def _told(self, raw: RawTable, name: str, reading: Reading, is_filled: bool) -> ModalityArrays:
        """Returns the arrays of a reading, after a warning of missing values."""
        arrays = reading.arrays
        if arrays.present is None:
            return arrays
        consequence = f"samples without it lack the modality {name}"
        if is_filled:
            consequence = f"{self.transforms[name].stand_in} is used instead"
        warn_of_missing(raw, reading.column, arrays.present, modality=name, consequence=consequence)
        return replace(arrays, present=None) if is_filled else arrays

    def arrays(self, raw: RawTable) -> dict[str, ModalityArrays]:
        """Returns the arrays of all modalities for all rows of `raw`, of which some are the training samples.

        Sequences longer than all of the training are cut.

        Raises:
            DataError: A column is absent or has another type than in the training data, or a value cannot be used.
        """
        arrays, problems = self.read(raw, cuts=True)
        if problems:
            raise DataError(f"{text_of(problems)}; an empty cell is a missing value")
        return arrays

    @property
    def outside_macs(self) -> dict[str, int]:
        """Returns modality to the multiply-accumulates per sample with which it is computed outside of a network."""
        return {name: macs for name, transform in self.transforms.items() if (macs := transform.outside_macs)}

    def state(self) -> dict[str, Any]:
        """Returns the preprocessing as plain values and tensors, which torch loads with `weights_only=True`."""
        kinds = {transform: kind for kind, transform in TRANSFORMS.items()}
        return {
            name: {"transform": kinds[type(transform)], **transform.state()}
            for name, transform in self.transforms.items()
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Preprocessing":
        """Returns the preprocessing of a `state`."""
        return cls({name: TRANSFORMS[own["transform"]].from_state(own) for name, own in state.items()})


def _plain_state(name: str, entry: ModalityConfig) -> dict[str, Any]:
    return {"name": name, "config": entry.to_plain()}
