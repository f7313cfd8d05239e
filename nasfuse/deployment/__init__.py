"""Networks as ONNX graphs that `nasfuse.runtime` runs without torch."""

from nasfuse.deployment.program import Deployed, deploy
from nasfuse.deployment.raw_inputs import RawInput, RawInputs

__all__ = ["Deployed", "RawInput", "RawInputs", "deploy"]
