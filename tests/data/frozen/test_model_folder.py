"""The folder of a frozen encoder: where it is looked up, and what its hash covers."""

import hashlib

import pytest

from nasfuse.data.frozen.model_folder import check_model, content_of, find_model
from nasfuse.errors import DataError, MissingFileError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "models" / "tiny"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text("[1]")
    return folder


class TestPlace:
    def test_the_path_that_is_named(self, folder, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("NASFUSE_MODELS", raising=False)
        assert find_model(str(folder), where="m") == folder
        assert find_model("models/tiny", where="m").samefile(folder)

    @pytest.mark.parametrize("named", ["/gone/models/tiny", "models/tiny", "tiny"])
    @pytest.mark.parametrize("place", ["", "models"])
    def test_an_end_of_the_path_in_the_folder_of_the_environment(self, folder, tmp_path, monkeypatch, named, place):
        monkeypatch.setenv("NASFUSE_MODELS", str(tmp_path / place))
        if named == "tiny" and not place:
            with pytest.raises(MissingFileError, match=r"no folder tiny of a frozen encoder, nor tiny in .*; correct"):
                find_model(named, where="m")
        else:
            assert find_model(named, where="m") == folder

    def test_a_folder_that_is_gone(self, tmp_path, monkeypatch):
        monkeypatch.delenv("NASFUSE_MODELS", raising=False)
        with pytest.raises(
            MissingFileError,
            match=r"^modality m: there is no folder \S*/gone of a frozen encoder; correct the path, or set "
            r"NASFUSE_MODELS to the folder in which gone is now$",
        ):
            find_model(str(tmp_path / "gone"), where="modality m")


class TestContent:
    def test_it_is_the_hash_of_names_and_contents(self, folder):
        digest = hashlib.sha256()
        for name, content in (("1_Pooling/config.json", b"[1]"), ("config.json", b"{}")):
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        assert content_of(folder) == digest.hexdigest()[:32]

    def test_documentation_other_weights_and_hidden_files_do_not_count(self, folder):
        before = content_of(folder)
        (folder / "README.md").write_text("better words")
        (folder / "model.onnx").write_bytes(b"1")
        (folder / ".cache").mkdir()
        (folder / ".cache" / "times.json").write_text("2")
        assert content_of(folder) == before
        (folder / "model.safetensors").write_bytes(b"1")
        assert content_of(folder) != before


class TestContents:
    def test_a_complete_folder(self, folder):
        (folder / "model.safetensors").write_bytes(b"1")
        check_model(folder, where="m", kind="model")

    def test_no_model(self, tmp_path):
        with pytest.raises(DataError, match=r"^m: \S+ is no model, it has no config\.json; name the folder of one$"):
            check_model(tmp_path, where="m", kind="model")

    def test_no_safe_weights(self, folder):
        (folder / "pytorch_model.bin").write_bytes(b"1")
        with pytest.raises(DataError, match=r"has no weights in safetensors, the only format that is read; save"):
            check_model(folder, where="m", kind="model")

    def test_an_adapter(self, folder):
        (folder / "adapter_config.json").write_text("{}")
        with pytest.raises(DataError, match=r"is an adapter of another model; merge the two"):
            check_model(folder, where="m", kind="model")
