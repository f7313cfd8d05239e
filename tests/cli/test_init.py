"""`nasfuse init`."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image


def products(folder, n_rows=500):
    """A table with numbers, gaps, categories, dates, texts, photos, an identifier and a constant."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    words = [["red", "soft"], ["blue", "hard"], ["green", "wet"]]
    rows = []
    for row, kind in enumerate(rng.integers(0, 3, n_rows)):
        pixels = rng.integers(0, 100, (4, 5, 3)).astype(np.uint8)
        pixels[..., kind] += 100
        Image.fromarray(pixels).save(folder / "photos" / f"{row}.png")
        rows.append(
            {
                "product_id": f"P{row:05d}",
                "price": None if row % 9 == 0 else 10 + 5 * kind + rng.normal(),
                "shop": str(rng.choice(["north", "south", "west"])),
                "since": f"2025-{row % 12 + 1:02d}-03",
                "title": f"a {rng.choice(words[kind])} chair number {row % 300}",
                "photo": f"photos/{row}.png",
                "currency": "EUR",
                "label": ["warm", "cold", "fresh"][kind],
            }
        )
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "products.csv", index=False)
    return frame


def test_a_study_is_written_and_checked(nasfuse, tmp_path):
    products(tmp_path, 60)
    ran = nasfuse("init", "products.csv")
    assert ran.code == 0
    text = (tmp_path / "products.yaml").read_text(encoding="utf-8")
    assert text in ran.out
    assert "        shop: category  # 3 categories\n" in text
    assert "    photo: image_files  # paths of .png files\n" in text
    assert "  #   currency: it is constant (EUR)\n" in text
    assert ran.err == "", "the check tells of missing values"
    assert ran.out.splitlines()[-3:] == [
        "Written to products.yaml. Read it, then run:",
        "  nasfuse data check products.yaml  # missing values, leaks, linear model",
        "  nasfuse search products.yaml",
    ]
    document = nasfuse("data", "check", "products.yaml", "--json").json
    assert document["modalities"][-1] == "photo: image 3 x 32 x 32"
    assert re.fullmatch(r"cold \d+, fresh \d+, warm \d+", document["class sizes"])
    assert document["scores"]["linear"] > 0.8


def test_several_spellings_are_told(nasfuse, tmp_path):
    frame = products(tmp_path, 60)
    frame.loc[:9, "shop"] = "North"
    frame.loc[:9, "label"] = "Warm"
    frame.to_csv(tmp_path / "products.csv", index=False)
    ran = nasfuse("init", "products.csv")
    assert ran.code == 0
    shop, label = ran.err.splitlines()
    assert shop.startswith("warning: column shop of products.csv: categories that differ only in case or spaces are ")
    assert label.startswith("warning: column label of products.csv: classes that differ only in case or spaces are ")
    findings = nasfuse("data", "check", "products.yaml", "--json").json["findings"]
    assert {text.removeprefix("warning: ") for text in (shop, label)} <= set(findings)


def test_a_class_with_one_row_is_told(nasfuse, tmp_path):
    frame = products(tmp_path, 60)
    frame.loc[3, "label"] = "rare"
    frame.to_csv(tmp_path / "products.csv", index=False)
    ran = nasfuse("init", "products.csv")
    text = (
        "products: some classes have at most 2 samples each, too few to divide; all their samples stay in train: class "
        "rare (1 sample)"
    )
    assert (ran.code, ran.err) == (0, f"warning: {text}\n")
    assert text in nasfuse("data", "check", "products.yaml", "--json").json["warnings"]


def test_two_classes_of_which_one_has_one_row_are_refused_as_by_a_search(nasfuse, refuses, tmp_path):
    frame = products(tmp_path, 60)
    frame["label"] = ["rare", *["usual"] * 59]
    frame.to_csv(tmp_path / "products.csv", index=False)
    ran = nasfuse("init", "products.csv")
    text = "products: validation has 53 samples of class usual and none of another one, so no network can be better"
    assert ran.code == 2
    assert f"products.yaml can stay as it is: {text}" in ran.sentence
    assert text in refuses("data", "check", "products.yaml")
    assert text in refuses("search", "products.yaml")


def test_several_targets(nasfuse, tmp_path):
    frame = products(tmp_path, 60)
    frame.assign(weight=range(60), height=frame["price"].fillna(0)).to_csv(tmp_path / "products.csv", index=False)
    ran = nasfuse("init", "products.csv", "--target", "weight", "--target", "height")
    assert ran.code == 0
    assert "  target: [weight, height]  # 2 real numbers\n" in ran.out
    assert nasfuse("data", "check", "products.yaml", "--json").json["task"] == "regression, 2 outputs"
    ran = nasfuse("data", "check", "products.csv", "--target", "weight", "--target", "height", "--json")
    assert ran.json["data"]["target"] == ["weight", "height"]


def test_data_in_another_folder(nasfuse, tmp_path):
    (tmp_path / "data").mkdir()
    products(tmp_path / "data", 60)
    assert nasfuse("init", "data/products.csv", "-o", "studies/mine.yaml").code == 0
    assert nasfuse("data", "check", "studies/mine.yaml", "--json").json["data"] == "products"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.csv",), "no data set 'absent.csv'"),
        (("digits",), "digits is a shipped data set with a study of its own"),
        (("products.csv", "--target", "lable"), "products.csv has no column 'lable' (--target); did you mean 'label'?"),
        (
            ("products.csv", "-o", "taken.yaml"),
            "taken.yaml exists; name another file with -o, or overwrite it with --force",
        ),
    ],
)
def test_refusals(refuses, tmp_path, arguments, message):
    products(tmp_path, 12)
    (tmp_path / "taken.yaml").write_text("")
    assert message in refuses("init", *arguments)


def test_a_missing_photo_is_told_with_its_row(nasfuse, tmp_path):
    products(tmp_path, 60)
    (tmp_path / "photos" / "7.png").unlink()
    ran = nasfuse("init", "products.csv")
    assert ran.code == 2
    assert "column photo of products.csv, row 7: there is no file " in ran.sentence
    assert (tmp_path / "products.yaml").is_file()
