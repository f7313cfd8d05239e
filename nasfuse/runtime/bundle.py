"""A bundle: the folder with the graphs of a network and the manifest that says how to run them."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import CheckpointError, InvalidInputError, MissingFileError
from nasfuse.runtime.inputs import graph_inputs
from nasfuse.runtime.program import Outputs, Program
from nasfuse.runtime.results import Results, results_of

Array = NDArray[Any]

#: Version of the layout of bundles.
FORMAT = 1

#: Samples that are computed at once.
BATCH_ROWS = 512


class Bundle:
    """A deployed network, or an ensemble whose members are one program.

    Attributes:
        manifest: Content of `manifest.json`.
    """

    def __init__(self, manifest: Mapping[str, Any], open_graph: Callable[[str], Any]) -> None:
        """Opens the graphs.

        Args:
            manifest: Content of the manifest.
            open_graph: Returns the `onnxruntime.InferenceSession` of a file of the bundle.
        """
        self.manifest = manifest
        self._program = Program(manifest["program"], open_graph, task=manifest["task"]["kind"])

    def inputs(self, data: Mapping[str, Any]) -> dict[str, Array]:
        """Returns the inputs of the graphs for new data, see `predict`."""
        return graph_inputs(self.manifest["program"]["inputs"], data)

    def run(self, inputs: Mapping[str, Array], chosen: Array | None = None) -> Outputs:
        """Returns the outputs for the result of `inputs`, all samples at once.

        Args:
            inputs: Inputs of the graphs.
            chosen: (n,) numbers of routes, instead of the choice of the router.
        """
        return self._program.run(dict(inputs), chosen)

    def outputs(self, data: Mapping[str, Any]) -> Outputs:
        """Returns logits, or standardised numbers, for new data; see `predict`."""
        inputs = self.inputs(data)
        n_samples = len(next(iter(inputs.values())))
        parts = [
            self.run({name: values[start : start + BATCH_ROWS] for name, values in inputs.items()})
            for start in range(0, n_samples, BATCH_ROWS)
        ]
        if len(parts) == 1:
            return parts[0]
        return Outputs(
            np.concatenate([part.values for part in parts]),
            _joined([part.routes for part in parts]),
            _joined([part.n_steps for part in parts]),
        )

    def predict(self, data: Mapping[str, Any]) -> Results:
        """Returns the predictions for new data.

        Args:
            data: Arrays or columns by name, with the same rows in all of them: what the training data had. A modality
                is an array under its own name, or under the names in the manifest (`source`). Sequences whose lengths
                differ have an array of lengths, `NAME.lengths`; samples lack a modality where all its numbers are NaN
                or `NAME.present` is false.

        Raises:
            DataError: A modality is absent, has another shape than in the training, or has values that are not finite.
        """
        return results_of(self.manifest, self.outputs(data))


def _joined(parts: list[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def load(folder: str | os.PathLike[str], *, threads: int = 1) -> Bundle:
    """Returns the network of a bundle.

    Args:
        folder: Folder that `nasfuse export --onnx` wrote.
        threads: Threads of one call; a small network is fastest with one.

    Raises:
        MissingFileError: The folder is no bundle.
        CheckpointError: The bundle has another format, or a graph is damaged.
    """
    root = Path(folder)
    if threads < 1:
        raise InvalidInputError(f"threads must be at least 1, got {threads}")
    if not (root / "manifest.json").is_file():
        raise MissingFileError(f"{root} has no manifest.json, so it is no bundle; name a folder of `export --onnx`")
    try:
        manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        found = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{root}/manifest.json is damaged; export the network again") from error
    if found != FORMAT:
        raise CheckpointError(f"{root} has the bundle format {found}, this version reads {FORMAT}; export it again")
    return Bundle(manifest, lambda name: open_session(root / name, threads=threads))


def open_session(graph: Path | bytes, *, threads: int) -> Any:
    """Returns an onnxruntime session on the CPU for a file or for the content of one.

    Raises:
        CheckpointError: It is no graph that onnxruntime can run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no common base class
        place = "a graph" if isinstance(graph, bytes) else str(graph)
        raise CheckpointError(f"{place} cannot be run ({error}); export the network again") from error
