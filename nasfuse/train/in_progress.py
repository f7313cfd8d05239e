"""A training in progress, without the passes and steps of its network: data, random numbers, validation and curve."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Dataset
from nasfuse.errors import NonFiniteError
from nasfuse.nn.build import build_network
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks.losses import training_loss
from nasfuse.train.augmentation import Augmentation
from nasfuse.train.batch_order import batches_of_epoch
from nasfuse.train.class_weights import class_weights
from nasfuse.train.fixed_features import features_computed_once, fit_stems
from nasfuse.train.mixup import Loss
from nasfuse.train.preconditions import check_network, check_training, token_ids
from nasfuse.train.stream_loss import StreamLoss
from nasfuse.train.trained import Epoch
from nasfuse.train.validation import Validation


@contextmanager
def own_generator(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch inside the block and restores its global generators afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class TrainingInProgress:
    """What a training of a static network consists of beside its steps; `state` has what is needed to resume it.

    Attributes:
        identity: Text that differs for trainings of another recipe, seed or data set.
        network: Network in training.
        stream_loss: Losses of its streams, with their heads.
        dataset: Data of the training.
        epoch: Number of finished epochs.
        step: Number of finished steps.
        curve: Results of the finished epochs.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, *, seed: int, device: torch.device) -> None:
        """Builds the network with weights drawn for `seed`; for the errors see `nasfuse.train.loop.train_network`."""
        self.identity = f"{recipe.hash} {seed} {dataset.fingerprint}"
        self.training = recipe.training
        self.patience = recipe.training.patience if recipe.data.validation is None else recipe.training.epochs
        self.dataset = dataset
        self.device = device
        self.task = dataset.task
        self.criterion = training_loss(self.task.kind, recipe.training.loss, options=recipe.training.loss_options)
        with own_generator(derive_seed(seed, "weights"), torch.device("cpu")):
            self.network = build_network(
                recipe.network, dataset.modalities, dataset.task, drops=recipe.drops_modalities
            )
            self.stream_loss = StreamLoss(
                self.network, share=recipe.training.stream_loss, n_outputs=dataset.task.n_outputs
            ).to(device)
        fit_stems(self.network, dataset.train, seed=derive_seed(seed, "fit"))
        self.network.to(device)
        self.names = self.network.stream_names
        check_training(recipe, dataset)
        check_network(recipe, self.network, dataset)
        self.augmentation = Augmentation.from_config(
            recipe.training,
            ids=token_ids(recipe, dataset),
            fixed=frozenset(fixed_stems(self.network)),
            aligned=recipe.data.aligned,
        )
        self.batches = torch.Generator().manual_seed(derive_seed(seed, "batches"))
        weights = class_weights(recipe.training.class_weights, dataset.train.targets, self.task)
        self.class_weights = None if weights is None else weights.to(device)
        self.validation = Validation(
            self.network,
            metric=recipe.metric,
            loss=self.criterion,
            device=device,
            router=recipe.network.router,
            seed=derive_seed(seed, "guarantee"),
        )
        self.step = 0
        self.epoch = 0
        self.curve: list[Epoch] = []
        self.best: Epoch | None = None
        self.best_state: dict[str, Tensor] = {}
        self.started = time.perf_counter()

    @property
    def keeps_inputs_fixed(self) -> bool:
        """Whether fixed features are the same in every epoch."""
        return not self.augmentation.changes_fixed

    @contextmanager
    def fixed_features_computed_once(self) -> Iterator[None]:
        """Trains on precomputed fixed features in the block, where they are the same in every epoch."""
        plain = self.dataset
        if not self.keeps_inputs_fixed:
            yield
            return
        with features_computed_once(self.network, plain, device=self.device) as self.dataset:
            yield
        self.dataset = plain

    def rows(self) -> Tensor:
        """Returns the rows of the training samples of the next epoch."""
        return torch.arange(len(self.dataset.train))

    def batches_of_next_epoch(self) -> list[Tensor]:
        """Returns the rows of the batches of the next epoch, drawn from a generator of their own."""
        return batches_of_epoch(
            self.dataset.train,
            self.rows(),
            batch_size=self.training.batch_size,
            names=self.names,
            generator=self.batches,
        )

    def batch(self, rows: Tensor, *, is_augmented: bool = True) -> tuple[Batch, Loss]:
        """Returns the samples `rows` as the network gets them in training, and the loss of logits and targets.

        Random numbers come from torch's current generator.
        """
        batch = self.dataset.train.batch(rows, names=self.names).to(self.device)
        loss = cast(Loss, self.task_loss)
        return self.augmentation.mix(self.augmentation.apply(batch), loss) if is_augmented else (batch, loss)

    def task_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean loss of logits and targets of a batch."""
        smoothing = self.training.label_smoothing
        return self.criterion(logits, targets, label_smoothing=smoothing, class_weights=self.class_weights)

    def end_epoch(self, train_loss: float, *, digests: Tensor | None = None) -> Epoch:
        """Returns the results of an epoch.

        Args:
            train_loss: Its mean training loss.
            digests: (n, m) digests of the outputs for the validation samples; None runs the network on them.

        Raises:
            NonFiniteError: The loss or the metric is NaN or infinite.
        """
        if not math.isfinite(train_loss):
            raise NonFiniteError(f"the training loss became {train_loss} in epoch {self.epoch + 1}; lower training.lr")
        metric, loss = (None, None) if not len(self.dataset.val) else self._validated(digests)
        if not all(value is None or math.isfinite(value) for value in (metric, loss)):
            raise NonFiniteError(f"the validation metric became {metric} in epoch {self.epoch + 1}; lower training.lr")
        self.epoch += 1
        result = Epoch(self.epoch, train_loss, loss, metric, time.perf_counter() - self.started)
        self.curve.append(result)
        if self._is_best(loss):
            self.best = result
            self.best_state = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        return result

    def _is_best(self, loss: float | None) -> bool:
        if loss is None or self.best is None:
            return loss is not None
        assert self.best.val_loss is not None
        return loss < self.best.val_loss

    def _validated(self, digests: Tensor | None) -> tuple[float, float]:
        if digests is None:
            return self._validate()
        return self.validation.of_digests(digests, self.dataset)

    def _validate(self) -> tuple[float, float]:
        """Returns metric and loss on validation data in inference mode."""
        return self.validation.of_network(self.dataset)

    def steps_of_stage(self) -> tuple[float, int]:
        """Returns the number of finished steps of the current stage, and the number of all its steps.

        Where not all steps fit in the time, the first number is the share of the time that is used, times the second.
        """
        per_epoch = math.ceil(len(self.dataset.train) / self.training.batch_size)
        return self.step, self.training.epochs * per_epoch

    def learning_rate(self) -> float:
        """Returns the learning rate of the step: linear warm-up, then a cosine to zero at the last step of a stage."""
        step, total = self.steps_of_stage()
        warm = self.training.warmup * total
        if step < warm:
            return self.training.lr * (step + 1) / warm
        return self.training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))

    def state(self) -> dict[str, Any]:
        """Returns what `restore` needs, tensors and plain values; torch's current generator is that of the steps."""
        on_cuda = self.device.type == "cuda"
        return {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "stream_loss": self.stream_loss.state_dict(),
            "step": self.step,
            "curve": [asdict(epoch) for epoch in self.curve],
            "best_epoch": self.best.epoch if self.best else 0,
            "best_state": self.best_state,
            "batches": self.batches.get_state(),
            "generator": torch.get_rng_state(),
            "cuda_generator": torch.cuda.get_rng_state(self.device) if on_cuda else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up the training where `state` was taken, with torch's current generator."""
        self.network.load_state_dict(state["network"])
        self.stream_loss.load_state_dict(state["stream_loss"])
        self.step = state["step"]
        self.curve = [Epoch(**epoch) for epoch in state["curve"]]
        self.epoch = len(self.curve)
        self.best = self.curve[state["best_epoch"] - 1] if state["best_epoch"] else None
        self.best_state = {key: value.to(self.device) for key, value in state["best_state"].items()}
        self.batches.set_state(state["batches"])
        torch.set_rng_state(state["generator"])
        if state["cuda_generator"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"], self.device)
        self.started = time.perf_counter() - (self.curve[-1].wall_s if self.curve else 0.0)
