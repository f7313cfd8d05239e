"""Byte-pair encoding: merges by hand, no unknown words, the same result in every training."""

import numpy as np
import pytest

from nasfuse.data.columns.subwords import Subwords
from nasfuse.data.columns.text import TextColumn
from nasfuse.errors import ConfigError, MissingPackageError
from nasfuse.spec.modality import TextConfig

TEXTS = ["ab ab ab", "abc ABC"]
#: Numbers of the characters that stand for bytes, in the order of their code points: 94 printable ASCII characters from
#: "!", then 94 Latin ones without the soft hyphen, then the other bytes from 0, of which 32 is the space.
SPACE, A, B, C = 188 + 32, ord("a") - 33, ord("b") - 33, ord("c") - 33


def config(**options):
    return TextConfig(kind="text", **{"tokenizer": "subwords", **options})


def fit(texts, **options):
    pytest.importorskip("tokenizers")
    return Subwords.fit(texts, config(**options))


def ids(vocabulary, text):
    """Ids as numbers of entries, without the offset of padding."""
    return [number - 1 for number in vocabulary.ids(text)]


def test_merges_are_the_most_frequent_pairs():
    """a b occurs five times, as often as space a, which has larger numbers; then space ab, then space ab c (twice)."""
    assert ids(fit(TEXTS), "abc ab b") == [258, 257, SPACE, B]
    assert ids(fit(TEXTS, vocabulary=258), "abc") == [257, C]
    assert ids(fit(TEXTS, min_count=3), "abc") == [257, C]
    assert ids(fit(TEXTS, vocabulary=257), "ab a") == [SPACE, 256, SPACE, A]


def test_every_character_has_bytes_and_no_text_has_an_id_of_its_own():
    vocabulary = fit(TEXTS)
    e_acute = [106 + 0xC3 - 0xAE, 94 + 0xA9 - 0xA1]
    assert ids(vocabulary, "É") == [SPACE, *e_acute]
    assert vocabulary.n_ids == 1 + 259 + 1
    assert vocabulary.ids("") == [vocabulary.n_ids - 1]


def test_without_texts_there_are_the_bytes():
    assert fit([]).n_ids == 258


def test_it_is_the_same_in_every_training():
    rng = np.random.default_rng(0)
    texts = [" ".join("".join(rng.choice(list("abcdé"), 5)) for _ in range(20)) for _ in range(50)]
    first = fit(texts, vocabulary=400)
    assert first.n_ids == 402
    assert fit(texts[::-1], vocabulary=400).encoding == first.encoding


def test_the_size_must_leave_room_for_merges():
    with pytest.raises(ConfigError, match=r"vocabulary: must be above 256 for subwords, .* got 256; raise it"):
        TextConfig.parse({"kind": "text", "tokenizer": "subwords", "vocabulary": 256})


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingPackageError, match=r"tokenizer: subwords need .* pip install 'nasfuse\[text\]'"):
        TextColumn.fit("t", config(), _raw("a b"), np.arange(1))


def _raw(*texts):
    from nasfuse.data.raw_table import RawTable

    return RawTable("t", "t.csv", {"t": np.array(texts, dtype=object)}, len(texts))
