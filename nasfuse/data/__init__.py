"""Data sets in one in-memory format, loaded from shipped sets, files, folders and objects of Python."""

from nasfuse.data.arrays import build_dataset
from nasfuse.data.dataset import Batch, Column, Dataset, Scale, Split
from nasfuse.data.description import described_table
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.function import as_raw
from nasfuse.data.sources.registry import load_dataset, load_raw, load_table
from nasfuse.data.table import Table

__all__ = [
    "Batch",
    "Column",
    "Dataset",
    "ModalityArrays",
    "Preprocessing",
    "RawTable",
    "Scale",
    "Split",
    "Table",
    "as_raw",
    "build_dataset",
    "described_table",
    "load_dataset",
    "load_raw",
    "load_table",
]
