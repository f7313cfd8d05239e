"""File with the metric of the points of a front where all validation samples lack a modality."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from nasfuse.errors import RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.run_folder import RunFolder


@dataclass(frozen=True)
class Robustness:
    """What one training of a point of a front does without each modality.

    Attributes:
        label: Label of the point.
        metric: Metric of the training with all modalities, on its validation data; that of the point is a mean over all
            of its trainings.
        without: Modality to the metric where all validation samples lack it; `metric` for one that the network does not
            read.
        by_mean: Modalities that the network reads and for which the mean of the training data stands, because it has no
            placeholder.
    """

    label: str
    metric: float
    without: dict[str, float]
    by_mean: tuple[str, ...] = ()


def write_robustness(folder: RunFolder, found: Sequence[Robustness]) -> None:
    """Writes what was measured into the folder of a run, for `read_robustness`."""
    write_text(folder.robustness_file, json.dumps([asdict(one) for one in found], indent=2))


def read_robustness(folder: RunFolder) -> Mapping[str, Robustness]:
    """Returns what `write_robustness` wrote, by the label of the point; empty before that.

    Raises:
        RunFolderError: The file is damaged.
    """
    if not folder.robustness_file.is_file():
        return {}
    try:
        content = json.loads(folder.robustness_file.read_text(encoding="utf-8"))
        found = TypeAdapter(list[Robustness]).validate_python(content)
        if any(one.without.keys() != found[0].without.keys() for one in found):
            raise ValueError("points without different modalities")
    except ValueError as error:
        raise RunFolderError(
            f"{folder.robustness_file} is damaged; remove it, and `nasfuse pareto --robust` writes it again"
        ) from error
    return {one.label: one for one in found}
