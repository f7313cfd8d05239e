"""File with the ensembles on the front of a run."""

import json
from collections.abc import Sequence

from nasfuse.errors import RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.ensembles import Ensemble
from nasfuse.search.front import Candidate


def write_ensembles(folder: RunFolder, ensembles: Sequence[Ensemble]) -> None:
    """Writes ensembles to `ensembles.json`, for `read_ensembles`."""
    content = [
        {"members": [member.label for member in one.members], "metrics": one.metrics, "reported": one.reported}
        for one in ensembles
    ]
    write_text(folder.ensembles_file, json.dumps(content, indent=2))


def read_ensembles(folder: RunFolder, candidates: Sequence[Candidate], *, max_macs: int | None) -> list[Candidate]:
    """Returns the ensembles that `write_ensembles` wrote; none before the end of a search.

    Args:
        folder: Folder of the run.
        candidates: Operating points of single networks.
        max_macs: Largest number of MACs of an ensemble; None for no limit.

    Raises:
        RunFolderError: The file is damaged.
    """
    if not folder.ensembles_file.is_file():
        return []
    known = {candidate.label: candidate for candidate in candidates}
    try:
        content = json.loads(folder.ensembles_file.read_text(encoding="utf-8"))
        named = [
            (
                list(one["members"]),
                tuple(float(value) for value in one["metrics"]),
                tuple(float(value) for value in one.get("reported", ())),
            )
            for one in content
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{folder.ensembles_file} is damaged; remove it, and the search command writes it again"
        ) from error
    found = [
        Ensemble(tuple(known[label] for label in labels), metrics, reported).candidate()
        for labels, metrics, reported in named
        if known.keys() >= set(labels)
    ]
    return [one for one in found if one.measured.is_within(max_macs)]
