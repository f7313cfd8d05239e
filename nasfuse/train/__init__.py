"""Training and measuring: one recipe, one seed."""

from nasfuse.train.checkpoint import load_checkpoint, save_checkpoint
from nasfuse.train.cross_validation import FoldNetwork, digests_of_fold, measure_folds, metric_so_far
from nasfuse.train.equilibrium import measured_macs, record_equilibria
from nasfuse.train.evaluation import evaluate, predict_digests, predict_logits
from nasfuse.train.loop import train_network
from nasfuse.train.measurement import measure
from nasfuse.train.preconditions import check_network, check_training
from nasfuse.train.progress import saved_epochs
from nasfuse.train.stackable import reason_against
from nasfuse.train.stacked import train_stacked
from nasfuse.train.tabulate import tabulate_routes
from nasfuse.train.trained import Epoch, Trained

__all__ = [
    "Epoch",
    "FoldNetwork",
    "Trained",
    "check_network",
    "check_training",
    "digests_of_fold",
    "evaluate",
    "load_checkpoint",
    "measure",
    "measure_folds",
    "measured_macs",
    "metric_so_far",
    "predict_digests",
    "predict_logits",
    "reason_against",
    "record_equilibria",
    "save_checkpoint",
    "saved_epochs",
    "tabulate_routes",
    "train_network",
    "train_stacked",
]
