"""Small street scenes with a label for every pixel: 24 x 32 colour and thermal images, half by day, half by night."""

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32
CLASSES = ("ground", "car", "person")
SPLITS = ("train", "train", "train", "val", "test")


def scenes(n_scenes=20, *, seed=0):
    """Arrays of a file: a warm person, and a car whose colour is seen by day; the first two columns have no label."""
    rng = np.random.default_rng(seed)
    y = np.zeros((n_scenes, HEIGHT, WIDTH), np.uint8)
    day = np.arange(n_scenes) % 2 == 0
    rgb = rng.normal(100, 12, (n_scenes, HEIGHT, WIDTH, 3))
    thermal = rng.normal(80, 12, (n_scenes, HEIGHT, WIDTH))
    for row in range(n_scenes):
        for number, (height, width) in ((1, (8, 12)), (2, (10, 5))):
            top, left = rng.integers(0, HEIGHT - height), rng.integers(2, WIDTH - width)
            y[row, top : top + height, left : left + width] = number
    rgb[..., 0] += np.where(day[:, None, None], 90, 15) * (y == 1)
    thermal += 100 * (y == 2)
    y[:, :, :2] = 255
    return {
        "rgb": np.clip(rgb, 0, 255).astype(np.uint8),
        "thermal": np.clip(thermal, 0, 255).astype(np.uint8),
        "y": y,
        "day": day,
        "split": np.array(SPLITS)[np.arange(n_scenes) % len(SPLITS)],
    }


def data_block(source, **more):
    """The data block of a study of these arrays."""
    return {
        "source": str(source),
        "task": "segmentation",
        "modalities": {"rgb": {"kind": "image"}, "thermal": {"kind": "image"}},
        "classes": list(CLASSES),
        "void": 255,
        **more,
    }


def write_folder(folder, arrays, *, labels="labels", depth="thermal"):
    """Writes the arrays as folders of images by split, the thermal ones with 16 bits, and their list files."""
    for number, word in enumerate(arrays["split"]):
        for name, values in (("rgb", arrays["rgb"]), (depth, arrays["thermal"].astype(np.uint16) * 256)):
            _write(folder / word / name / f"{number:04d}.png", values[number])
        _write(folder / word / labels / f"{number:04d}.png", arrays["y"][number])


def _write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
