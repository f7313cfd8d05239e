"""The Python API: searches, runs and their networks (`docs/python.md`)."""

from nasfuse.api.draft import draft_study
from nasfuse.api.run import SearchRun, load_run
from nasfuse.api.search import search

__all__ = ["SearchRun", "draft_study", "load_run", "search"]
