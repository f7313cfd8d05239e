"""Training of a recipe with one seed and selection on validation data; it can be resumed after any epoch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.data.dataset import Batch, Dataset
from nasfuse.nn.auxiliary_loss import take_losses
from nasfuse.nn.knob import knobs_as_trained
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.train.deadline import Deadline
from nasfuse.train.equilibrium import EquilibriumTerm
from nasfuse.train.in_progress import TrainingInProgress, own_generator
from nasfuse.train.inheritance import inherit_streams
from nasfuse.train.initial_weights import InitialWeights
from nasfuse.train.manifold_mixup import ManifoldMixup
from nasfuse.train.optimizer import adamw
from nasfuse.train.progress import ProgressFile
from nasfuse.train.routing import RoutingLoss, hold_out, mean_route_loss, random_route
from nasfuse.train.sandwich import Sandwich
from nasfuse.train.trained import Epoch, Trained


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
    deadline: Deadline | None = None,
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
        resume_file: File to which progress is written (see `ProgressFile`). If it exists, the training is resumed from
            it. The caller removes it after the result is saved.
        weight_sources: Stream to the checkpoint with its initial weights; other streams, and all if None, are
            initialised at random. Not used when a training is resumed.
        start: Weights of another network from which the training starts, as far as they agree with the network of
            `recipe`. They are part of the identity of the training.
        deadline: Time by which the training must end. It takes at least one epoch, and one with the router where
            that is trained after the routes.

    Raises:
        InheritanceError: A checkpoint of `weight_sources` cannot be read, or its stream has other shapes.
        NonFiniteError: The loss or the metric became NaN or infinite.
        InvalidInputError: The recipe does not fit the data, or no weight of `start` the recipe.
        CheckpointError: The resume file is damaged or belongs to another recipe, seed or data set.
    """
    run = _Run(recipe, dataset, seed=seed, device=device, deadline=deadline)
    if start is not None:
        run.identity += f" {start.fingerprint}"
    last = min(epochs or recipe.training.epochs, recipe.training.epochs)
    progress = ProgressFile(resume_file)
    with own_generator(derive_seed(seed, "training"), device):
        state = progress.read(identity=run.identity)
        if state is not None:
            run.restore(state)
            if report is not None:
                for result in run.curve:
                    report(result)
        elif weight_sources:
            inherit_streams(run.network, weight_sources)
        elif start is not None:
            start.give(run.network)
        with run.fixed_features_computed_once():
            run.deadline.begin_epochs()
            while run.epoch < last and not run.out_of_patience:
                result = run.one_epoch()
                run.deadline.note_epoch(left=last - run.epoch)
                if run.epoch < last and run.out_of_time:
                    break  # without a report, which the driver of a search may answer by ending the process
                if report is not None:
                    report(result)
                progress.write(run.state)
    return run.finish()


class _Run(TrainingInProgress):
    """A training in progress with the steps of its network, routes and router, sub-networks and equilibria included."""

    def __init__(
        self, recipe: Recipe, dataset: Dataset, *, seed: int, device: torch.device, deadline: Deadline | None = None
    ) -> None:
        super().__init__(recipe, dataset, seed=seed, device=device)
        self.deadline = deadline or Deadline(math.inf)
        self.sandwich = Sandwich(recipe, dataset, seed=seed) if recipe.elastic else None
        self.manifold_mixup = ManifoldMixup.from_config(recipe.training, self.network)
        self.trained = nn.ModuleList([self.network, self.stream_loss])
        self.optimizer = adamw(self.trained, lr=recipe.training.lr, weight_decay=recipe.training.weight_decay)
        every = super().rows()
        self.rows_of_stages = (every, every)  # there is no first stage without a router
        self.equilibrium = EquilibriumTerm(self.network, recipe.training.equilibrium)
        self.routing: RoutingLoss | None = None
        self.first_stage = 0  # epochs that train all routes, without the router
        if isinstance(self.network, RoutedNetwork) and recipe.training.routing is not None:
            self.routing = RoutingLoss(recipe.training.routing, self.network.cost_shares())
            share = recipe.training.routing.first_stage
            if share > 0:
                self.first_stage = min(max(round(share * recipe.training.epochs), 1), recipe.training.epochs - 1)
            if self.first_stage and recipe.training.routing.holdout > 0:
                self.rows_of_stages = hold_out(
                    dataset.train, recipe.training.routing.holdout, seed=derive_seed(seed, "holdout")
                )

    @property
    def out_of_patience(self) -> bool:
        if self.best is None or self.epoch <= self.first_stage:
            return False
        return self.epoch - self.best.epoch >= self.patience

    @property
    def out_of_time(self) -> bool:
        """Whether there is no time for another epoch, and the network can be used as it is."""
        return self.epoch > self.first_stage and self.deadline.is_over

    @property
    def router_learns(self) -> bool:
        return self.routing is not None and self.epoch >= self.first_stage

    @property
    def _trains_one_route(self) -> bool:
        return self.routing is not None and not self.router_learns and self.routing.config.routes_per_step == "one"

    @property
    def frozen(self) -> bool:
        return self.routing is not None and self.router_learns and self.routing.config.freeze

    @property
    def keeps_inputs_fixed(self) -> bool:
        return super().keeps_inputs_fixed and self.sandwich is None

    def rows(self) -> Tensor:
        return self.rows_of_stages[self.epoch >= self.first_stage]

    def one_epoch(self) -> Epoch:
        if self.routing is not None and self.epoch == self.first_stage:
            self.best = None  # losses of epochs with and without the router are not comparable
            self.deadline.begin_stage()
        self._set_modes()
        self.equilibrium.start_epoch()
        batches = self.batches_of_next_epoch()
        losses = []
        # Routes that are frozen are in inference mode while their router is trained.
        with knobs_as_trained(self.network.knobs()):
            for rows in batches:
                losses.append(self._one_step(rows))
        return self.end_epoch(float(torch.stack(losses).mean()))

    def _one_step(self, rows: Tensor) -> Tensor:
        mixed, mixed_loss = self.batch(rows, is_augmented=not self.frozen)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
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

    def task_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
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
        steps = self.steps_of_stage()
        return self.routing.second_stage(routes, loss, progress=steps[0] / max(steps[1] - 1, 1))

    def _set_modes(self) -> None:
        """Sets the network to training mode; frozen parts stay in inference mode and have no gradient."""
        self.network.train()
        if isinstance(self.network, RoutedNetwork) and self.routing is not None:
            self.network.parts().requires_grad_(not self.frozen).train(not self.frozen)

    def _validate(self) -> tuple[float, float]:
        """Returns metric and loss on validation data in inference mode."""
        if not isinstance(self.network, RoutedNetwork):
            return super()._validate()
        if self.routing is None:
            return self.validation.of_all_routes(self.dataset)
        if not self.router_learns:
            return self.validation.of_costliest_route(self.dataset)
        weight = self.routing.config.resource_weight
        return self.validation.of_router(self.dataset, resource_weight=weight, is_frozen=self.frozen)

    def steps_of_stage(self) -> tuple[float, int]:
        per_epoch = [math.ceil(len(rows) / self.training.batch_size) for rows in self.rows_of_stages]
        first = self.first_stage * per_epoch[0]
        if self.step < first:
            return self.step, first
        step, total = self.step - first, (self.training.epochs - self.first_stage) * per_epoch[1]
        return max(step, self.deadline.progress_of_stage * total), total

    def finish(self) -> Trained:
        self.network.eval().requires_grad_(True)
        chosen, status = self.curve[-1], "complete"
        if self.best is not None and self.out_of_patience and self.epoch < self.training.epochs:
            self.network.load_state_dict(self.best_state)
            chosen, status = self.best, "early stop"
        elif self.out_of_time and self.epoch < self.training.epochs:
            status = "shortened"
        if isinstance(self.network, RoutedNetwork):
            table, threshold = self.validation.set_up(self.validation.table(self.dataset))
            self.network.calibrate(table.calibration)
            self.network.set_threshold(threshold)
            chosen = replace(chosen, val_metric=table.at(threshold).metric)
        parts = None if self.sandwich is None else self.sandwich.parts
        return Trained(self.network, chosen, self.curve, status, self.equilibrium.backward_converged, parts)

    def state(self) -> dict[str, Any]:
        sandwich = None if self.sandwich is None else self.sandwich.state()
        return {**super().state(), "optimizer": self.optimizer.state_dict(), "sandwich": sandwich}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.sandwich is not None:
            self.sandwich.restore(state["sandwich"])
