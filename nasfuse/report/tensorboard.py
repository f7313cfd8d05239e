"""Curves of trainings for TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING

from nasfuse.data.extras import required
from nasfuse.train import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardCurves:
    """Writes loss and metric of every epoch as event files beside the networks, `seed0/` and so on."""

    def __init__(self, folder: Path, *, metric: str) -> None:
        """Checks that TensorBoard is installed; nothing is written before the first epoch.

        Args:
            folder: Folder of the trainings.
            metric: Name of the metric of their epochs.

        Raises:
            MissingPackageError: It is not installed.
        """
        required("tensorboard", extra="tensorboard", purpose="curves for TensorBoard")
        self._folder = folder
        self._metric = metric
        self._writers: dict[int, SummaryWriter] = {}

    def add(self, number: int, epoch: Epoch) -> None:
        """Writes an epoch of training `number`, in place of what an interrupted training wrote from there on."""
        if number not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[number] = SummaryWriter(str(self._folder / f"seed{number}"), purge_step=epoch.epoch)
        writer = self._writers[number]
        values = {"loss/train": epoch.train_loss, "loss/val": epoch.val_loss, f"val/{self._metric}": epoch.val_metric}
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, epoch.epoch)

    def close(self) -> None:
        """Writes what is still in memory."""
        for writer in self._writers.values():
            writer.close()
