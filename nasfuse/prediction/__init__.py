"""Predictions of trained networks for new data, without the training data."""

from nasfuse.prediction.averages import averaged
from nasfuse.prediction.predictions import Predictions
from nasfuse.prediction.saved_network import SavedNetwork, read_network, save_network
from nasfuse.prediction.trained_network import TrainedNetwork, load_network

__all__ = ["Predictions", "SavedNetwork", "TrainedNetwork", "averaged", "load_network", "read_network", "save_network"]
