"""Training and measuring: one recipe, one seed."""

from nasfuse.train.checkpoint import load_checkpoint, save_checkpoint
from nasfuse.train.evaluate import evaluate, predict_logits
from nasfuse.train.loop import Epoch, Trained, train_network
from nasfuse.train.measure import measure

__all__ = [
    "Epoch",
    "Trained",
    "evaluate",
    "load_checkpoint",
    "measure",
    "predict_logits",
    "save_checkpoint",
    "train_network",
]
