"""Writes the data of the tutorial: a table of products with photos, and new products without a label.

Round and square things differ in their photos; a bowl and a clock, or a tray and a frame, mostly differ in their price.

    python make_products.py
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

KINDS = {"bowl": ("round", 12), "clock": ("round", 60), "tray": ("square", 15), "frame": ("square", 70)}


def draw(shape: str, rng: np.random.Generator) -> Image.Image:
    """Returns a noisy photo of a thing of a random size, place and colour."""
    image = Image.fromarray(rng.integers(0, 90, (20, 20, 3), dtype=np.uint8))
    left, top, size = (int(value) for value in rng.integers((1, 1, 7), (7, 7, 12)))
    colour = tuple(int(value) for value in rng.integers(100, 256, 3))
    pen = ImageDraw.Draw(image)
    box = (left, top, left + size, top + size)
    if shape == "round":
        pen.ellipse(box, fill=colour)
    else:
        pen.rectangle(box, fill=colour)
    return image


def write(folder: Path, n_rows: int, rng: np.random.Generator) -> None:
    """Writes `products.csv` and the photos that it names."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for number in range(n_rows):
        kind = str(rng.choice(list(KINDS)))
        shape, price = KINDS[kind]
        photo = f"photos/{number}.png"
        draw(shape, rng).save(folder / photo)
        shop = str(rng.choice(["north", "south"]))
        cost = round(price * float(rng.lognormal(0, 0.4)), 2)
        rows.append({"id": f"p{number:05}", "photo": photo, "price": cost, "shop": shop, "label": kind})
    pd.DataFrame(rows).to_csv(folder / "products.csv", index=False)


rng = np.random.default_rng(0)
write(Path("products"), 1100, rng)
write(Path("new"), 20, rng)
new = pd.read_csv("new/products.csv").drop(columns="label")
new.to_csv("new/products.csv", index=False)
print("wrote products/products.csv and new/products.csv")
