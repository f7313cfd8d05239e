"""The search: spaces, samplers, the ledger of a study and its front. Knows Optuna.

Of torch it knows only what fits Gaussian processes, loaded when a search gets that far.
"""

from nasfuse.search.front import Candidate, Objectives, best, candidates_of, front_of, knee_of, to_row
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.scheduler import Assignment, Exhausted, Ledger, objectives_of
from nasfuse.search.space import Space
from nasfuse.search.stopping.mo_asha import MultiObjectiveAsha
from nasfuse.search.storage import open_storage, sqlite_url

__all__ = [
    "Assignment",
    "Candidate",
    "Exhausted",
    "Ledger",
    "MultiObjectiveAsha",
    "Objectives",
    "Progress",
    "Space",
    "best",
    "candidates_of",
    "front_of",
    "knee_of",
    "objectives_of",
    "open_storage",
    "sqlite_url",
    "summarise",
    "to_row",
]
