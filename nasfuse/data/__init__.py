"""Data: one in-memory contract, a shipped set and `.npz` files."""

from nasfuse.data.arrays import ModalityArrays, build_dataset
from nasfuse.data.dataset import Batch, Column, Dataset, Scale, Split
from nasfuse.data.registry import load_dataset

__all__ = ["Batch", "Column", "Dataset", "ModalityArrays", "Scale", "Split", "build_dataset", "load_dataset"]
