"""Checking what the networks of a front cost: closed forms beside counts, in the driver, after a search."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from nasfuse.cost import MacsCheck, check_macs
from nasfuse.data import Dataset
from nasfuse.errors import MissingFileError, RunFolderError
from nasfuse.experiment.run_folder import RunFolder, write_text
from nasfuse.nn import build_network
from nasfuse.nn.knob import set_knobs
from nasfuse.search.front import Candidate


@dataclass(frozen=True)
class FrontCheck:
    """One member of a front.

    Attributes:
        label: Trial and point of the member.
        check: Of its network, at its setting.
    """

    label: str
    check: MacsCheck


def check_front(folder: RunFolder, front: Sequence[Candidate], dataset: Dataset) -> None:
    """Writes to `macs.json` what each member of a front costs in closed form and counted, at its setting.

    From its recipe, since weights have no part in it. Members whose recipe is gone are left out.
    """
    content = {}
    for member in front:
        try:
            recipe = folder.recipe(member.trial)
        except MissingFileError:
            continue
        network = build_network(recipe.network, dataset.modalities, dataset.task)
        set_knobs(network.knobs(), member.measured.settings)
        content[member.label] = check_macs(network, dataset).to_plain()
    write_text(folder.macs_file, json.dumps(content, indent=2))


def read_checks(folder: RunFolder) -> list[FrontCheck]:
    """Returns what `check_front` wrote; nothing before the end of a search.

    Raises:
        RunFolderError: The file is damaged.
    """
    if not folder.macs_file.is_file():
        return []
    try:
        content = json.loads(folder.macs_file.read_text(encoding="utf-8"))
        return [
            FrontCheck(label, MacsCheck(one["macs_closed_form"], one["macs_counted"], one["macs_status"]))
            for label, one in content.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"{folder.macs_file} is damaged; remove it, and the search command writes it again"
        ) from error
