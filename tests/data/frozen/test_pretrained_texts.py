"""Texts through models of transformers and sentence-transformers in local folders, against the models themselves."""

import json
import shutil
import socket

import pytest
import torch

from nasfuse.data import extras
from nasfuse.data.frozen import FROZEN_ENCODERS
from nasfuse.data.frozen.macs import counted_macs
from nasfuse.errors import DataError, MissingPackageError

WIDTH, N_LAYERS, MLP = 16, 2, 32
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "hat", "a", "blue"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network must not be used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def transformers():
    """The package, which is imported when these tests run: every process collects them."""
    return pytest.importorskip("transformers", reason="needs nasfuse[frozen]")


@pytest.fixture(scope="module")
def model(transformers):
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        intermediate_size=MLP,
        max_position_embeddings=12,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.BertModel(config).eval()


@pytest.fixture(scope="module")
def folder(transformers, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def load(folder, *, library="transformers", **options):
    return FROZEN_ENCODERS["text_features", library].load(folder, options)


def states(model, words):
    with torch.no_grad():
        return model(input_ids=torch.tensor([[WORDS.index(word) for word in words]])).last_hidden_state[0]


SHORT = ["[CLS]", "red", "hat", "[SEP]"]
LONG = ["[CLS]", "a", "blue", "hat", "a", "[UNK]", "[SEP]"]
TEXTS = ["Red hat", "a blue hat, a".replace(",", ""), "a blue hat a cat"]


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_states_of_the_tokens_are_pooled_without_padding(model, folder, pooling):
    found = load(folder, pooling=pooling).encode([TEXTS[0], TEXTS[2]])
    for row, words in enumerate((SHORT, LONG)):
        expected = states(model, words)
        expected = expected.mean(dim=0) if pooling == "mean" else expected[0]
        assert torch.allclose(torch.from_numpy(found.features[row]), expected, atol=1e-5)
    assert found.n_tokens.tolist() == [4, 7]
    assert found.features.dtype == "float32"


def test_texts_are_cut(model, folder):
    found = load(folder, length=4).encode([TEXTS[2]])
    expected = states(model, ["[CLS]", "a", "blue", "[SEP]"]).mean(dim=0)
    assert torch.allclose(torch.from_numpy(found.features[0]), expected, atol=1e-5)
    assert load(folder).encode(["a " * 40]).n_tokens.tolist() == [12]


@pytest.mark.parametrize(("text", "n"), [(TEXTS[0], 4), (TEXTS[2], 7)])
def test_multiply_accumulates_are_those_of_transformer_blocks(folder, text, n):
    """Blocks as in docs/costs.md, and the pooler of BERT, which reads the first token."""
    blocks = N_LAYERS * (4 * n * WIDTH**2 + 2 * n**2 * WIDTH + 2 * n * WIDTH * MLP)
    assert counted_macs(load(folder), text) == blocks + WIDTH**2


def copied(folder, target, **changes):
    target.mkdir()
    for file in folder.iterdir():
        content = file.read_bytes()
        if file.name == "config.json":
            content = json.dumps({**json.loads(content), **changes}).encode()
        (target / file.name).write_bytes(content)
    return target


def test_absent_weights_are_refused_rather_than_random(folder, tmp_path):
    other = copied(folder, tmp_path / "more", num_hidden_layers=3)
    with pytest.raises(DataError, match=r"lacks 16 weights of BertModel, such as encoder\.layer\.2\.\S+, which would"):
        load(other)


def test_a_tokenizer_without_a_vocabulary_is_refused(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(DataError, match=r"has no vocabulary, so all words would be unknown; save its tokenizer there$"):
        load(tmp_path)


def test_a_damaged_file_is_one_sentence(folder, tmp_path):
    other = copied(folder, tmp_path / "damaged")
    (other / "model.safetensors").write_bytes(b"0" * 20)
    with pytest.raises(
        DataError, match=r"^the frozen encoder in \S+damaged cannot be loaded with transformers: .*\w; n"
    ):
        load(other)


def test_code_in_the_folder_is_not_run(folder, tmp_path):
    other = copied(
        folder, tmp_path / "code", model_type="mine", auto_map={"AutoModel": "mine.Mine", "AutoConfig": "mine.C"}
    )
    (other / "mine.py").write_text("raise SystemExit('this code must not be run')")
    with pytest.raises(DataError, match=r"cannot be loaded with transformers: .*; name the folder of another one$"):
        load(other)


def test_an_encoder_with_a_projection_has_no_pooling(transformers, tmp_path):
    parts = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**parts, "vocab_size": len(WORDS), "max_position_embeddings": 9, "eos_token_id": 3},
        vision_config={**parts, "image_size": 8, "patch_size": 4},
        projection_dim=5,
    )
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(
        str(tmp_path / "vocab.txt"), model_input_names=["input_ids", "attention_mask"]
    ).save_pretrained(tmp_path)
    ids = torch.tensor([[WORDS.index(word) for word in SHORT]])
    with torch.no_grad():
        expected = model.text_projection(model.text_model(input_ids=ids).pooler_output)
    found = load(tmp_path).encode([TEXTS[0]]).features
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-5)
    assert found.shape == (1, 5)
    with pytest.raises(DataError, match=r"^pooling: CLIPModel has a projection of its own; remove pooling$"):
        load(tmp_path, pooling="mean")


def test_an_absent_package_is_named(folder, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", absent)
    for library, extra in (("transformers", "frozen"), ("sentence_transformers", "frozen")):
        with pytest.raises(
            MissingPackageError,
            match=rf"^text_features with library: {library} need the package {library}, .* 'nasfuse\[{extra}\]'$",
        ):
            load(folder, library=library)


@pytest.fixture(scope="module")
def sentences(folder, tmp_path_factory):
    package = pytest.importorskip("sentence_transformers", reason="needs nasfuse[frozen]")
    modules = package.sentence_transformer.modules
    parts = [modules.Transformer(str(folder)), modules.Pooling(WIDTH, pooling_mode="mean")]
    target = tmp_path_factory.mktemp("sentences")
    package.SentenceTransformer(modules=parts, device="cpu").save(str(target))
    return target


class TestSentences:
    def test_vectors_are_those_of_the_model(self, model, sentences):
        found = load(sentences, library="sentence_transformers").encode([TEXTS[0], TEXTS[2]])
        for row, words in enumerate((SHORT, LONG)):
            assert torch.allclose(torch.from_numpy(found.features[row]), states(model, words).mean(dim=0), atol=1e-5)
        assert found.n_tokens.tolist() == [4, 7]

    def test_texts_are_cut_and_their_cost_is_that_of_what_is_left(self, sentences):
        encoder = load(sentences, library="sentence_transformers", length=4)
        blocks = N_LAYERS * (4 * 4 * WIDTH**2 + 2 * 4**2 * WIDTH + 2 * 4 * WIDTH * MLP)
        assert counted_macs(encoder, TEXTS[2]) == blocks + WIDTH**2

    def test_modules_with_code_of_their_own_are_refused(self, sentences, tmp_path):
        modules = [{"idx": 0, "name": "0", "path": "", "type": "mine.Module"}]
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        (tmp_path / "model.safetensors").write_bytes(b"0")
        with pytest.raises(
            DataError, match=r"needs code of its own \(mine\.Module\), which is never run; name another"
        ):
            load(tmp_path, library="sentence_transformers")

    def test_a_tokenizer_without_a_vocabulary_is_refused(self, sentences, tmp_path):
        target = tmp_path / "sentences"
        shutil.copytree(sentences, target, ignore=lambda *_: ["tokenizer.json", "vocab.txt"])
        with pytest.raises(DataError, match=r"has no vocabulary, so all words would be unknown|cannot be loaded with"):
            load(target, library="sentence_transformers")

    def test_a_folder_of_another_library(self, folder):
        pytest.importorskip("sentence_transformers", reason="needs nasfuse[frozen]")
        with pytest.raises(DataError, match=r"is no model of sentence-transformers, it has no modules\.json; name"):
            load(folder, library="sentence_transformers")
