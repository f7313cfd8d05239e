"""Predicts a table of products by a bundle, with numpy, onnxruntime and pillow: python use_bundle.py BUNDLE TABLE."""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import nasfuse.runtime


def photo_of(path: Path) -> np.ndarray:
    """Returns a photo in the size that the network was trained with, as nasfuse resizes it."""
    return np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR))


bundle = nasfuse.runtime.load(sys.argv[1])
table = Path(sys.argv[2])
with table.open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
found = bundle.predict(
    {
        "price": np.array([float(row["price"]) for row in rows]),
        "shop": np.array([row["shop"] for row in rows]),
        "photo": np.stack([photo_of(table.parent / row["photo"]) for row in rows]),
    }
)
for row, name in zip(rows, found.named, strict=True):
    print(row["id"], name)
print("torch is imported:", "torch" in sys.modules)
