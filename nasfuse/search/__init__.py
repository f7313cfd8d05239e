"""Architecture search on top of Optuna: search spaces, samplers, the scheduler of a study, and its Pareto front.

The package does not import torch.
"""

from nasfuse.search.assignment import Assignment
from nasfuse.search.front import Candidate, Objectives, best, candidates_of, front_of, knee_of, to_row
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.scheduler import Exhausted, Scheduler
from nasfuse.search.space import Space
from nasfuse.search.stopping.mo_asha import MultiObjectiveAsha
from nasfuse.search.storage import open_storage, sqlite_url

__all__ = [
    "Assignment",
    "Candidate",
    "Exhausted",
    "MultiObjectiveAsha",
    "Objectives",
    "Progress",
    "Scheduler",
    "Space",
    "best",
    "candidates_of",
    "front_of",
    "knee_of",
    "open_storage",
    "sqlite_url",
    "summarise",
    "to_row",
]
