"""Data sets in one in-memory format, loaded from shipped sets and `.npz` files."""

from nasfuse.data.arrays import build_dataset
from nasfuse.data.dataset import Batch, Column, Dataset, Scale, Split
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.sources.registry import load_dataset, load_table
from nasfuse.data.table import Table

__all__ = [
    "Batch",
    "Column",
    "Dataset",
    "ModalityArrays",
    "Scale",
    "Split",
    "Table",
    "build_dataset",
    "load_dataset",
    "load_table",
]
