"""Check of the MACs of a front after a search: closed forms against counts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from nasfuse.cost import MacsCheck, check_macs
from nasfuse.data import Dataset
from nasfuse.data.progress import tracked
from nasfuse.domain.knob import parted
from nasfuse.errors import MissingFileError, RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.countdown import Countdown
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.nn import Network, build_network
from nasfuse.nn.ensemble import EnsembleNetwork
from nasfuse.nn.knob import set_knobs
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig


@dataclass(frozen=True)
class FrontCheck:
    """Check of one member of a front.

    Attributes:
        label: Trial and operating point of the member.
        check: Result for its network, with the knob settings of the member.
    """

    label: str
    check: MacsCheck


def check_front(folder: RunFolder, study: StudyConfig, front: Sequence[Candidate], *, countdown: Countdown) -> int:
    """Writes the MACs of each member of a front, in closed form and counted, to `macs.json`.

    Networks are built from the recipes, because MACs do not depend on weights. Members without a recipe file are
    omitted. Those whose MACs are in the file already, and equal, are not counted again.

    Returns:
        The number of members for which there was no time.

    Raises:
        MissingFileError: The data of the study are not there.
    """
    try:
        known = {one.label: one.check for one in read_checks(folder) if one.check.status == "equal"}
    except RunFolderError:  # it is written again
        known = {}
    new = [member for member in front if member.label not in known]
    made: list[MacsCheck | None] = []
    if new:
        dataset = cached_dataset(study.data.model_dump_json())
        checks = (_check(folder, member, dataset) for member in countdown.while_left(new))
        made = tracked("counting MACs of points", checks, total=len(new))
    found = {**known, **{member.label: one for member, one in zip(new, made, strict=False) if one is not None}}
    content = {member.label: found[member.label].to_plain() for member in front if member.label in found}
    write_text(folder.macs_file, json.dumps(content, indent=2))
    return len(new) - len(made)


def _check(folder: RunFolder, member: Candidate, dataset: Dataset) -> MacsCheck | None:
    """Returns the check of a member of the front; None if it has no recipe file."""
    try:
        return check_macs(_network_of(folder, member, dataset), dataset)
    except MissingFileError:
        return None


def _network_of(folder: RunFolder, member: Candidate, dataset: Dataset) -> Network:
    """Returns an untrained network of a member of the front, with its settings."""
    if member.members:
        return EnsembleNetwork([_network_of(folder, one, dataset) for one in member.members], task=dataset.task.kind)
    elastic, others = parted(member.measured.settings)
    recipe = folder.recipe(member.trial)
    recipe = recipe.smaller(elastic) if elastic else recipe
    network = build_network(recipe.network, dataset.modalities, dataset.task, drops=recipe.drops_modalities)
    set_knobs(network.knobs(), others)
    return network


def read_checks(folder: RunFolder) -> list[FrontCheck]:
    """Returns the checks that `check_front` wrote; empty before the end of a search.

    Raises:
        RunFolderError: The file is damaged.
    """
    if not folder.macs_file.is_file():
        return []
    try:
        content = json.loads(folder.macs_file.read_text(encoding="utf-8"))
        return [FrontCheck(label, _check_of(one)) for label, one in content.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{folder.macs_file} is damaged; remove it, and the search command or `nasfuse report` writes it again"
        ) from error


def _check_of(plain: dict[str, Any]) -> MacsCheck:
    """Returns a check from what `MacsCheck.to_plain` returns.

    Raises:
        ValueError, KeyError, TypeError: It is damaged.
    """
    fields = {name: plain[f"macs_{name}"] for name in ("closed_form", "counted", "status")}
    check: MacsCheck = TypeAdapter(MacsCheck).validate_python(fields)
    if check.counted and check.counted.keys() != check.closed_form.keys():
        raise ValueError("the routes differ")
    return check
