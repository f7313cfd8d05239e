"""Images through models of transformers and timm in local folders, against the models themselves."""

import numpy as np
import pytest
import torch
from PIL import Image

from nasfuse.cost.counter import count_operators
from nasfuse.data import extras
from nasfuse.data.frozen import FROZEN_ENCODERS
from nasfuse.data.frozen.macs import counted_macs
from nasfuse.errors import DataError, MissingPackageError

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
IMAGES = [Image.fromarray(pixels) for pixels in PIXELS]


def load(folder, *, library="transformers", **options):
    return FROZEN_ENCODERS["image_features", library].load(folder, options)


def inputs(*, mean, std):
    """Images of the size of the model need no resizing: (b, C, H, W)."""
    return torch.from_numpy((PIXELS / 255 - mean) / std).float().permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="needs nasfuse[frozen]")


@pytest.fixture(scope="module")
def save(transformers, tmp_path_factory):
    def save(model):
        folder = tmp_path_factory.mktemp("model")
        model.eval().save_pretrained(folder)
        size = {"height": 16, "width": 16}
        transformers.ViTImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.25] * 3).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="module")
def timm():
    return pytest.importorskip("timm", reason="needs nasfuse[timm]", exc_type=ImportError)


@pytest.fixture(scope="module")
def folder(timm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("timm")
    model = timm.create_model("test_resnet", num_classes=3)
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    return folder


class TestTransformers:
    @pytest.mark.parametrize("pooling", ["mean", "first"])
    def test_states_of_patches_are_pooled(self, transformers, save, pooling):
        config = transformers.ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
        )
        model = transformers.ViTModel(config)
        encoder = load(save(model), pooling=pooling)
        with torch.no_grad():
            states = model(pixel_values=inputs(mean=0.5, std=0.25)).last_hidden_state
        expected = states.mean(dim=1) if pooling == "mean" else states[:, 0]
        found = encoder.encode(IMAGES)
        assert torch.allclose(torch.from_numpy(found.features), expected, atol=1e-4)
        assert found.n_tokens.tolist() == [0, 0]
        # the patches, a block on 4 patches and CLS, and the pooler
        assert counted_macs(encoder, IMAGES[0]) == 4 * 8 * 3 * 64 + 4 * 5 * 64 + 2 * 25 * 8 + 2 * 5 * 8 * 16 + 64

    def test_positions_of_a_convolutional_network_are_averaged(self, transformers, save):
        config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
        model = transformers.ResNetModel(config)
        folder = save(model)
        with torch.no_grad():
            expected = model(pixel_values=inputs(mean=0.5, std=0.25)).last_hidden_state.mean(dim=(2, 3))
        assert torch.allclose(torch.from_numpy(load(folder).encode(IMAGES).features), expected, atol=1e-4)
        with pytest.raises(DataError, match=r"^pooling: ResNetModel has positions and no first token; use mean$"):
            load(folder, pooling="first").encode(IMAGES)

    def test_a_projection_of_images(self, transformers, save):
        parts = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.CLIPConfig(
            text_config={**parts, "vocab_size": 9}, vision_config={**parts, "image_size": 16, "patch_size": 8}
        )
        model = transformers.CLIPModel(config)
        with torch.no_grad():
            pooled = model.vision_model(pixel_values=inputs(mean=0.5, std=0.25)).pooler_output
            expected = model.visual_projection(pooled)
        assert torch.allclose(torch.from_numpy(load(save(model)).encode(IMAGES).features), expected, atol=1e-4)


class TestTimm:
    def test_features_before_the_classifier(self, timm, folder):
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        settings = timm.data.resolve_model_data_config(model)
        transform = timm.data.create_transform(**settings, is_training=False)
        with torch.no_grad():
            pixels = torch.stack([transform(image) for image in IMAGES])
            expected = model.forward_head(model.forward_features(pixels), pre_logits=True)
        encoder = load(folder, library="timm")
        found = encoder.encode(IMAGES).features
        assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)
        assert found.shape == (2, model.num_features)
        counted = sum(count_operators(model, (pixels[:1],)).values())  # by fvcore, with the classifier
        assert counted_macs(encoder, IMAGES[0]) == counted - 3 * model.num_features

    def test_a_model_without_all_weights_is_refused(self, folder, tmp_path):
        safetensors = pytest.importorskip("safetensors.torch")
        weights = safetensors.load_file(folder / "model.safetensors")
        weights.pop("conv1.0.weight" if "conv1.0.weight" in weights else sorted(weights)[0])
        safetensors.save_file(weights, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text((folder / "config.json").read_text())
        with pytest.raises(DataError, match=r"cannot be loaded with timm: .*; name the folder of another one$"):
            load(tmp_path, library="timm")


def test_an_absent_package_is_named(tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", absent)
    with pytest.raises(MissingPackageError, match=r"library: timm need the package timm, .* 'nasfuse\[timm\]'$"):
        load(tmp_path, library="timm")
