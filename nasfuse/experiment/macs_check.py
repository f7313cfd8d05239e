"""Checking what the networks of a front cost: closed forms beside counts, in the driver, after a search."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nasfuse.cost import MacsCheck, check_macs
from nasfuse.errors import NasfuseError
from nasfuse.experiment.run_folder import RunFolder, write_text
from nasfuse.experiment.saved_network import load_network
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


def check_front(folder: RunFolder, front: Sequence[Candidate]) -> None:
    """Writes to `macs.json` what each member of a front costs in closed form and counted, at its setting."""
    content = {member.label: _check(folder, member).to_plain() for member in front}
    write_text(folder.macs_file, json.dumps(content, indent=2))


def read_checks(folder: RunFolder) -> list[FrontCheck]:
    """Returns what `check_front` wrote; nothing before the end of a search."""
    if not folder.macs_file.is_file():
        return []
    content = json.loads(folder.macs_file.read_text(encoding="utf-8"))
    return [
        FrontCheck(label, MacsCheck(one["macs_closed_form"], one["macs_counted"], one["macs_status"]))
        for label, one in content.items()
    ]


def _check(folder: RunFolder, member: Candidate) -> MacsCheck:
    try:
        saved = load_network(folder.network(member.trial), point=member.point, device=torch.device("cpu"))
    except NasfuseError as error:
        return MacsCheck({}, {}, f"not counted: {error}")
    return check_macs(saved.network, saved.dataset)
