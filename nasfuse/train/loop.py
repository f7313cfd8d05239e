"""Training of a recipe with one seed and selection on validation data; it can be resumed after any epoch."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from nasfuse.data.dataset import Batch, Dataset
from nasfuse.errors import CheckpointError, MissingFileError, NonFiniteError
from nasfuse.nn.auxiliary_loss import take_losses
from nasfuse.nn.build import build_network
from nasfuse.nn.elastic import Setting, SubNetworks
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.nn.knob import knobs_as_trained
from nasfuse.nn.network import Network, StreamNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks.losses import training_loss
from nasfuse.train.augmentation import Augmentation
from nasfuse.train.batch_order import batches_of_epoch
from nasfuse.train.checkpoint import load_checkpoint, save_checkpoint
from nasfuse.train.class_weights import class_weights
from nasfuse.train.equilibrium import EquilibriumTerm
from nasfuse.train.fixed_features import features_computed_once, fit_stems
from nasfuse.train.inheritance import inherit_streams
from nasfuse.train.initial_weights import InitialWeights
from nasfuse.train.manifold_mixup import ManifoldMixup
from nasfuse.train.mixup import Loss
from nasfuse.train.optimizer import adamw
from nasfuse.train.preconditions import check_network, check_training, token_ids
from nasfuse.train.routing import RoutingLoss, hold_out, mean_route_loss, random_route
from nasfuse.train.sandwich import Sandwich
from nasfuse.train.stream_loss import StreamLoss
from nasfuse.train.validation import Validation

_SAVE_EVERY_S = 10.0


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch; a line of `metrics.jsonl`.

    Attributes:
        epoch: Number of the epoch, counted from 1.
        train_loss: Mean training loss over the steps.
        val_loss: Loss of the training on validation data, without label smoothing, weights and mixup. It includes the
            resource loss while a router is trained. For a sequential network it is the mean over the routes. None
            without validation samples.
        val_metric: Value of the recipe's metric on validation data; that of the costliest route while routes are
            trained without the router. None without validation samples.
        wall_s: Wall-clock time since the start of the training in seconds, including earlier sessions.
    """

    epoch: int
    train_loss: float
    val_loss: float | None
    val_metric: float | None
    wall_s: float


@dataclass
class Trained:
    """A trained network, with the weights of the last epoch, or of the lowest validation loss if patience ran out.

    The weights of the last epoch are preferred because the learning rate has decayed to zero there, and because the
    best of many evaluations on a small validation set is biased, most of all for unstable networks. Patience has no
    effect without validation samples (`data.validation`).

    Attributes:
        network: Network in inference mode.
        chosen: Epoch of the weights.
        curve: All epochs.
        status: `complete`, or `early stop` if patience ran out.
        backward_converged: Share of the backward systems of equilibria that converged in the last epoch; None if there
            are none.
        parts: Sub-networks of an elastic network, which were trained with it; None for an ordinary one.
    """

    network: Network
    chosen: Epoch
    curve: list[Epoch] = field(default_factory=list)
    status: str = "complete"
    backward_converged: float | None = None
    parts: SubNetworks | None = None

    def at(self, elastic: Setting) -> Network:
        """Returns the network, or a copy of its sub-network at a setting of elastic fields."""
        if not elastic:
            return self.network
        assert self.parts is not None and isinstance(self.network, StreamNetwork), "it is elastic"
        return self.parts.cut_out(self.network, elastic)


def train_network(
    recipe: Recipe,
    dataset: Dataset,
    *,
    seed: int,
    device: torch.device,
    epochs: int | None = None,
    report: Callable[[Epoch], None] | None = None,
    resume_file: Path | None = None,
    weight_sources: Mapping[str, Path] | None = None,
    start: InitialWeights | None = None,
) -> Trained:
    """Returns the network of `recipe`, trained with `seed`.

    Args:
        recipe: Recipe of the network and its training.
        dataset: Data set; `train` is used for training and `val` for selection, `test` is not used.
            With `data.validation`, `val` may be empty.
        seed: Seed of everything random; the state of torch's global generators is restored at the end.
        device: Device of the training; on CUDA it uses bfloat16 autocast.
        epochs: Number of epochs, if smaller than that of the recipe; the learning rate schedule does not change.
        report: Called after every epoch; when a training is resumed, first with all earlier epochs.
        resume_file: File to which progress is written (at most every 10 s). If it exists, the training is resumed from
            it. The caller removes it after the result is saved.
        weight_sources: Stream to the checkpoint with its initial weights; other streams, and all if None, are
            initialised at random. Not used when a training is resumed.
        start: Weights of another network from which the training starts, as far as they agree with the network of
            `recipe`. They are part of the identity of the training.

    Raises:
        InheritanceError: A checkpoint of `weight_sources` cannot be read, or its stream has other shapes.
        NonFiniteError: The loss or the metric became NaN or infinite.
        InvalidInputError: The recipe does not fit the data, or no weight of `start` the recipe.
        CheckpointError: The resume file is damaged or belongs to another recipe, seed or data set.
    """
    run = _Run(recipe, dataset, seed=seed, device=device)
    if start is not None:
        run.identity += f" {start.fingerprint}"
    last = min(epochs or recipe.training.epochs, recipe.training.epochs)
    with _own_generator(derive_seed(seed, "training"), device):
        if resume_file is not None and resume_file.is_file():
            state = _read_progress(resume_file)
            if state.get("identity") != run.identity:
                raise CheckpointError(
                    f"{resume_file} holds the progress of another recipe, seed or data set; "
                    "remove it or choose another folder with -o"
                )
            run.restore(state)
            if report is not None:
                for result in run.curve:
                    report(result)
        elif weight_sources:
            inherit_streams(run.network, weight_sources)
        elif start is not None:
            start.give(run.network)
        saved_at = time.perf_counter()
        with run.fixed_features_computed_once():
            while run.epoch < last and not run.out_of_patience:
                result = run.one_epoch()
                if report is not None:
                    report(result)
                if resume_file is not None and time.perf_counter() - saved_at > _SAVE_EVERY_S:
                    save_checkpoint(resume_file, run.state())
                    saved_at = time.perf_counter()
    return run.finish()


def saved_epochs(resume_file: Path) -> int:
    """Returns the number of epochs in a resume file; 0 if there is none that can be read."""
    try:
        return len(load_checkpoint(resume_file)["curve"])
    except (MissingFileError, CheckpointError):
        return 0


def _read_progress(path: Path) -> dict[str, Any]:
    try:
        return load_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be resumed; remove it to start that training again: {error}") from error


@contextmanager
def _own_generator(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch inside the block and restores its global generators afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class _Run:
    """A training in progress; `state` has everything that is needed to resume it."""

    def __init__(self, recipe: Recipe, dataset: Dataset, *, seed: int, device: torch.device) -> None:
        self.identity = f"{recipe.hash} {seed} {dataset.fingerprint}"
        self.training = recipe.training
        self.patience = recipe.training.patience if recipe.data.validation is None else recipe.training.epochs
        self.dataset = dataset
        self.device = device
        self.task = dataset.task
        self.criterion = training_loss(self.task.kind, recipe.training.loss, options=recipe.training.loss_options)
        with _own_generator(derive_seed(seed, "weights"), torch.device("cpu")):
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
        self.sandwich = Sandwich(recipe, dataset, seed=seed) if recipe.elastic else None
        self.manifold_mixup = ManifoldMixup.from_config(recipe.training, self.network)
        self.batches = torch.Generator().manual_seed(derive_seed(seed, "batches"))
        self.trained = nn.ModuleList([self.network, self.stream_loss])
        self.optimizer = adamw(self.trained, lr=recipe.training.lr, weight_decay=recipe.training.weight_decay)
        every = torch.arange(len(dataset.train))
        self.rows = (every, every)  # those of the first and of the second stage; there is no first one without a router
        weights = class_weights(recipe.training.class_weights, dataset.train.targets, self.task)
        self.class_weights = None if weights is None else weights.to(device)
        self.equilibrium = EquilibriumTerm(self.network, recipe.training.equilibrium)
        self.routing: RoutingLoss | None = None
        self.first_stage = 0  # epochs that train all routes, without the router
        self.validation = Validation(
            self.network,
            metric=recipe.metric,
            loss=self.criterion,
            device=device,
            router=recipe.network.router,
            seed=derive_seed(seed, "guarantee"),
        )
        if isinstance(self.network, RoutedNetwork) and recipe.training.routing is not None:
            self.routing = RoutingLoss(recipe.training.routing, self.network.cost_shares())
            share = recipe.training.routing.first_stage
            if share > 0:
                self.first_stage = min(max(round(share * recipe.training.epochs), 1), recipe.training.epochs - 1)
            if self.first_stage and recipe.training.routing.holdout > 0:
                self.rows = hold_out(dataset.train, recipe.training.routing.holdout, seed=derive_seed(seed, "holdout"))
        self.step = 0
        self.epoch = 0
        self.curve: list[Epoch] = []
        self.best: Epoch | None = None
        self.best_state: dict[str, Tensor] = {}
        self.started = time.perf_counter()

    @property
    def out_of_patience(self) -> bool:
        if self.best is None or self.epoch <= self.first_stage:
            return False
        return self.epoch - self.best.epoch >= self.patience

    @property
    def router_learns(self) -> bool:
        return self.routing is not None and self.epoch >= self.first_stage

    @property
    def _trains_one_route(self) -> bool:
        return self.routing is not None and not self.router_learns and self.routing.config.routes_per_step == "one"

    @property
    def frozen(self) -> bool:
        return self.routing is not None and self.router_learns and self.routing.config.freeze

    @contextmanager
    def fixed_features_computed_once(self) -> Iterator[None]:
        """Trains on precomputed fixed features in the block, unless inputs change, or with routes or sub-networks."""
        plain = self.dataset
        if self.routing is not None or self.sandwich is not None or self.augmentation.changes_fixed:
            yield
            return
        with features_computed_once(self.network, plain, device=self.device) as self.dataset:
            yield
        self.dataset = plain

    def one_epoch(self) -> Epoch:
        if self.routing is not None and self.epoch == self.first_stage:
            self.best = None  # losses of epochs with and without the router are not comparable
        self._set_modes()
        self.equilibrium.start_epoch()
        batches = batches_of_epoch(
            self.dataset.train,
            self.rows[self.epoch >= self.first_stage],
            batch_size=self.training.batch_size,
            names=self.names,
            generator=self.batches,
        )
        losses = []
        # Routes that are frozen are in inference mode while their router is trained.
        with knobs_as_trained(self.network.knobs()):
            for rows in batches:
                losses.append(self._one_step(rows))
        train_loss = float(torch.stack(losses).mean())
        if not math.isfinite(train_loss):
            raise NonFiniteError(f"the training loss became {train_loss} in epoch {self.epoch + 1}; lower training.lr")
        metric, loss = self._validate() if len(self.dataset.val) else (None, None)
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

    def _one_step(self, rows: Tensor) -> Tensor:
        batch = self.dataset.train.batch(rows, names=self.names).to(self.device)
        mixed, mixed_loss = batch, cast(Loss, self._task_loss)
        if not self.frozen:
            mixed, mixed_loss = self.augmentation.mix(self.augmentation.apply(batch), self._task_loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with self.equilibrium.listening(), self.manifold_mixup.mixing(mixed_loss, mixed.targets) as step_loss:
            loss = self._loss(mixed, lambda logits: step_loss(logits, mixed.targets))
        loss = loss + self.equilibrium.value()
        weights = self.training.loss_weights
        for name, auxiliary in take_losses(self.network, known=weights).items():
            loss = loss + weights[name] * auxiliary
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.equilibrium.note_backward()
        nn.utils.clip_grad_norm_(self.trained.parameters(), self.training.clip_norm)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def _task_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = 0.0 if self.frozen else self.training.label_smoothing
        return self.criterion(logits, targets, label_smoothing=smoothing, class_weights=self.class_weights)

    def _loss(self, batch: Batch, loss: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            if not isinstance(self.network, RoutedNetwork):
                with self.stream_loss.listening():
                    logits = self.network(batch.inputs, batch.masks, present=batch.present).float()
                own = self.stream_loss.of(loss(logits), loss)
                if self.sandwich is None:
                    return own
                return self.sandwich.mean_loss(self.network, batch, loss=own, outputs=logits, loss_of=loss)
            if self._trains_one_route:
                with self.stream_loss.listening():
                    logits = random_route(self.network, batch).float()
                return self.stream_loss.of(loss(logits), loss)
            with self.stream_loss.listening():
                routes = self.network.all_routes(batch.inputs, batch.masks, present=batch.present)
        if self.routing is None or not self.router_learns:
            return self.stream_loss.of(mean_route_loss(routes.outputs, loss), loss)
        steps = self._steps_of_stage()
        return self.routing.second_stage(routes, loss, progress=steps[0] / max(steps[1] - 1, 1))

    def _set_modes(self) -> None:
        """Sets the network to training mode; frozen parts stay in inference mode and have no gradient."""
        self.network.train()
        if isinstance(self.network, RoutedNetwork) and self.routing is not None:
            self.network.parts().requires_grad_(not self.frozen).train(not self.frozen)

    def _validate(self) -> tuple[float, float]:
        """Returns metric and loss on validation data in inference mode."""
        if not isinstance(self.network, RoutedNetwork):
            return self.validation.of_network(self.dataset)
        if self.routing is None:
            return self.validation.of_all_routes(self.dataset)
        if not self.router_learns:
            return self.validation.of_costliest_route(self.dataset)
        weight = self.routing.config.resource_weight
        return self.validation.of_router(self.dataset, resource_weight=weight, is_frozen=self.frozen)

    def _steps_of_stage(self) -> tuple[int, int]:
        """Returns the number of finished steps of the current stage, and the number of all its steps."""
        per_epoch = [math.ceil(len(rows) / self.training.batch_size) for rows in self.rows]
        first = self.first_stage * per_epoch[0]
        if self.step < first:
            return self.step, first
        return self.step - first, (self.training.epochs - self.first_stage) * per_epoch[1]

    def _learning_rate(self) -> float:
        """Returns the learning rate of the step: linear warm-up, then a cosine to zero at the last step of a stage."""
        step, total = self._steps_of_stage()
        warm = self.training.warmup * total
        if step < warm:
            return self.training.lr * (step + 1) / warm
        return self.training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))

    def finish(self) -> Trained:
        self.network.eval().requires_grad_(True)
        chosen, status = self.curve[-1], "complete"
        if self.best is not None and self.out_of_patience and self.epoch < self.training.epochs:
            self.network.load_state_dict(self.best_state)
            chosen, status = self.best, "early stop"
        if isinstance(self.network, RoutedNetwork):
            table, threshold = self.validation.set_up(self.validation.table(self.dataset))
            self.network.calibrate(table.calibration)
            self.network.set_threshold(threshold)
            chosen = replace(chosen, val_metric=table.at(threshold).metric)
        parts = None if self.sandwich is None else self.sandwich.parts
        return Trained(self.network, chosen, self.curve, status, self.equilibrium.backward_converged, parts)

    def state(self) -> dict[str, Any]:
        on_cuda = self.device.type == "cuda"
        return {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "stream_loss": self.stream_loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "curve": [asdict(epoch) for epoch in self.curve],
            "best_epoch": self.best.epoch if self.best else 0,
            "best_state": self.best_state,
            "batches": self.batches.get_state(),
            "sandwich": None if self.sandwich is None else self.sandwich.state(),
            "generator": torch.get_rng_state(),
            "cuda_generator": torch.cuda.get_rng_state(self.device) if on_cuda else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.stream_loss.load_state_dict(state["stream_loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.curve = [Epoch(**epoch) for epoch in state["curve"]]
        self.epoch = len(self.curve)
        self.best = self.curve[state["best_epoch"] - 1] if state["best_epoch"] else None
        self.best_state = {key: value.to(self.device) for key, value in state["best_state"].items()}
        self.batches.set_state(state["batches"])
        if self.sandwich is not None:
            self.sandwich.restore(state["sandwich"])
        torch.set_rng_state(state["generator"])
        if state["cuda_generator"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"], self.device)
        self.started = time.perf_counter() - (self.curve[-1].wall_s if self.curve else 0.0)
