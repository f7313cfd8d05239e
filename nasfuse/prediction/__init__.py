"""Predictions of trained networks for new data, without the training data."""

from nasfuse.prediction.averages import NetworkAverage, averaged
from nasfuse.prediction.predictions import Predictions
from nasfuse.prediction.predictor import Predictor
from nasfuse.prediction.saved_network import SavedNetwork, read_network, save_network
from nasfuse.prediction.trained_network import TrainedNetwork, load_network

__all__ = [
    "NetworkAverage",
    "Predictions",
    "Predictor",
    "SavedNetwork",
    "TrainedNetwork",
    "averaged",
    "load_network",
    "read_network",
    "save_network",
]
