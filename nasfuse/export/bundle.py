"""Bundles: a network as ONNX graphs with a manifest, checked against the network before they are written."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasfuse import __version__
from nasfuse.data import Dataset, Split
from nasfuse.data.extras import required
from nasfuse.data.label_maps import class_numbers
from nasfuse.deployment import RawInputs, deploy
from nasfuse.deployment.quantisation import quantised
from nasfuse.domain.modality import Task
from nasfuse.experiment.checkpoint_evaluation import samples_of_training, spent_macs
from nasfuse.export.bundle_sources import source_of
from nasfuse.export.deployable import raw_inputs_of
from nasfuse.export.export_folder import check_folder, replacing_folder
from nasfuse.export.parity import Parity, compare
from nasfuse.prediction import SavedNetwork
from nasfuse.runtime import FORMAT, Bundle
from nasfuse.runtime.bundle import open_session
from nasfuse.tasks import task_kind
from nasfuse.train.metrics import score

#: Numbers of all maps of outputs by which a bundle is compared with its network, at most.
_MOST_OUTPUTS = 2**25


@dataclass(frozen=True)
class Written:
    """A bundle that has been written.

    Attributes:
        folder: Its folder.
        n_graphs: Number of graphs.
        n_bytes: Size of the graphs.
        parity: Differences from the network.
        figures: Metric and MACs on validation samples, or training samples if there are no others, as in the manifest.
    """

    folder: Path
    n_graphs: int
    n_bytes: int
    parity: Parity
    figures: dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """A network as a bundle in memory.

    Attributes:
        manifest: Content of the manifest.
        graphs: ONNX models by name of the file.
        inputs: Inputs of the graphs.
    """

    manifest: dict[str, Any]
    graphs: dict[str, bytes] = field(repr=False)
    inputs: RawInputs

    @property
    def steps(self) -> set[str]:
        """Names of the graphs with a step of a fixed point; errors of 8-bit weights would grow from step to step."""
        pieces = [piece for stage in self.manifest["program"]["stages"] for piece in stage["pieces"]]
        return {piece["solve"]["graph"] for piece in pieces if piece["solve"] is not None}

    def bundle(self, *, threads: int = 1) -> Bundle:
        """Returns the bundle, ready to run."""
        return Bundle(self.manifest, lambda name: open_session(self.graphs[name], threads=threads))


def deployment_of(saved: SavedNetwork, samples: Split | None = None) -> Deployment:
    """Returns the bundle of a network, in memory and unchecked.

    Args:
        saved: The network, on the CPU.
        samples: Samples of its data, see `raw_inputs_of`.

    Raises:
        MissingPackageError: The package onnx or onnxruntime is not installed.
    """
    inputs = raw_inputs_of(saved, samples)
    deployed = deploy(saved.network, inputs)
    transforms = saved.preprocessing.transforms
    program = dict(deployed.program)
    program["inputs"] = [{**plain, "source": source_of(transforms[plain["name"]])} for plain in program["inputs"]]
    scale = saved.target_scale
    manifest = {
        "format": FORMAT,
        "task": {"kind": saved.task.kind, "n_outputs": saved.task.n_outputs},
        "class_names": list(saved.class_names),
        **(
            {} if saved.task.size is None else {"class_numbers": class_numbers(saved.recipe.data, saved.task.n_outputs)}
        ),
        "target_scale": None
        if scale is None
        else {"mean": scale.mean.reshape(-1).tolist(), "std": scale.std.reshape(-1).tolist()},
        "program": program,
        "recipe": saved.recipe.to_plain(),
        "recipe_hash": saved.recipe.hash,
        "summary": saved.recipe.summary,
        "settings": saved.settings[saved.point],
        "versions": {
            "nasfuse": __version__,
            "torch": torch.__version__,
            "onnx": required("onnx", extra="onnx", purpose="exports of networks").__version__,
            "onnxruntime": required("onnxruntime", extra="onnx", purpose="exports of networks").__version__,
        },
    }
    return Deployment(manifest, deployed.graphs, RawInputs(inputs))


def write_bundle(saved: SavedNetwork, folder: Path, *, int8: bool = False, overwrite: bool = False) -> Written:
    """Writes the bundle of a network, after it has been compared with the network on validation data.

    Args:
        saved: The network, on the CPU.
        folder: New or empty folder, or one with an older export.
        int8: Whether the weights of linear layers become 8-bit integers. The comparison is then that of the metric, and
            differences of outputs are accepted.
        overwrite: Whether an older export is replaced.

    Raises:
        InvalidInputError: The folder holds something else, or an export that may not be replaced.
        DeploymentError: The bundle differs from the network.
        MissingPackageError: The package onnx or onnxruntime is not installed.
        DataError: The data of the training cannot be read.
    """
    check_folder(folder, overwrite=overwrite)
    dataset, samples = samples_of_training(saved, "val")
    if not len(samples):
        dataset, samples = samples_of_training(saved, "train")
    samples = _bounded(samples, saved.task)
    deployment = deployment_of(saved, samples)
    if int8:
        small = quantised(deployment.graphs, exact=deployment.steps)
        deployment = Deployment({**deployment.manifest, "int8": True}, small, deployment.inputs)
    parity = compare(saved.network, deployment.bundle(), deployment.inputs, samples)
    if not int8:
        parity.check()
    is_validation = saved.val_metric is not None and len(dataset.val) > 0  # a refit trains on train and val together
    figures = _figures(saved, parity, dataset, samples, of="validation" if is_validation else "training")
    manifest = {**deployment.manifest, "figures": figures, "parity": parity.to_plain()}
    write_files(folder, manifest, deployment.graphs)
    n_bytes = sum(len(graph) for graph in deployment.graphs.values())
    return Written(folder, len(deployment.graphs), n_bytes, parity, figures)


def _bounded(samples: Split, task: Task) -> Split:
    """Returns fewer samples, evenly chosen, where their maps of outputs would not fit in memory."""
    if task.size is None:
        return samples
    most = max(_MOST_OUTPUTS // (task.n_outputs * math.prod(task.size)), 1)
    if len(samples) <= most:
        return samples
    return samples.of_samples(torch.linspace(0, len(samples) - 1, most).long())


def _figures(saved: SavedNetwork, parity: Parity, dataset: Dataset, samples: Split, *, of: str) -> dict[str, Any]:
    recipe, task = saved.recipe, saved.task.kind

    def value(outputs: torch.Tensor) -> float:
        digests = task_kind(task).digest(outputs, samples.targets)
        return score(recipe.metric, digests, samples.targets, task=task, target_scale=samples.target_scale)

    macs, routes = spent_macs(saved.network, recipe, samples, dataset, torch.device("cpu"))
    return {
        "data_fingerprint": dataset.fingerprint,
        "metric": recipe.metric,
        "samples": of,
        "n_samples": len(samples),
        "network": value(parity.network),
        "bundle": value(parity.bundle) if np.isfinite(parity.bundle.numpy()).all() else None,
        "macs": round(macs),
        **({"routes": routes} if routes else {}),
    }


def write_files(folder: Path, manifest: Mapping[str, Any], graphs: Mapping[str, bytes]) -> None:
    """Writes the files of a bundle into a folder that takes the place of `folder`."""
    with replacing_folder(folder) as new:
        for name, graph in graphs.items():
            (new / name).write_bytes(graph)
        (new / "manifest.json").write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")
