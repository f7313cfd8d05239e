"""Networks as files of `torch.export`, checked against the network before they are written."""

import json
from pathlib import Path

import torch

from nasfuse.deployment import RawInputs
from nasfuse.deployment.torch_programs import torch_programs
from nasfuse.errors import DeploymentError
from nasfuse.experiment.checkpoint_evaluation import samples_of_training
from nasfuse.export.deployable import raw_inputs_of
from nasfuse.export.export_folder import check_folder, replacing_folder
from nasfuse.export.parity import TOLERANCE
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.prediction import SavedNetwork

#: Validation samples with which programs are compared.
_N_SAMPLES = 256


def write_torch_programs(saved: SavedNetwork, folder: Path, *, overwrite: bool = False) -> dict[str, float]:
    """Writes one program per route with a manifest, and returns its largest difference from the network by route.

    Args:
        saved: The network, on the CPU.
        folder: New or empty folder, or one with an older export.
        overwrite: Whether an older export is replaced.

    Raises:
        InvalidInputError: The folder holds something else, or an export that may not be replaced.
        TracingError: The network has fixed points whose number of steps depends on the sample.
        DeploymentError: A program differs from the network.
    """
    check_folder(folder, overwrite=overwrite)
    _, samples = samples_of_training(saved, "val")
    if not len(samples):
        _, samples = samples_of_training(saved, "train")
    inputs = raw_inputs_of(saved, samples)
    programs = torch_programs(saved.network, inputs)
    raw = RawInputs(inputs)
    tensors = raw.of_samples(samples, torch.arange(min(_N_SAMPLES, len(samples))))
    values, masks, present = raw(tensors)
    differences, network = {}, saved.network
    for number, (name, program) in enumerate(programs.items()):
        with torch.no_grad():
            if isinstance(network, RoutedNetwork):
                expected = network.run_route(number, values, masks, present=present)[0]
            else:
                expected = network(values, masks, present=present)
            differences[name] = float((program.module()(tensors) - expected).abs().max())
        if differences[name] > TOLERANCE * max(1.0, float(expected.abs().max())):
            raise DeploymentError(
                f"the program of {name} differs from the network by up to {differences[name]:.2g}, so none was "
                "written. Please report the recipe as a fault of nasfuse; --onnx writes the network in another form"
            )
    files = {name: f"route{number}.pt2" for number, name in enumerate(programs)}
    manifest = {
        "programs": files,
        "inputs": [one.to_plain() for one in inputs],
        "tensors": list(raw.names),
        "class_names": list(saved.class_names),
        "differences": differences,
        "recipe": saved.recipe.to_plain(),
        "torch": torch.__version__,
    }
    with replacing_folder(folder) as new:
        for name, program in programs.items():
            torch.export.save(program, new / files[name])
        (new / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return differences
