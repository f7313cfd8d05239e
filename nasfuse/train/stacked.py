"""Training of one recipe on several data sets at once, with the networks stacked."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Dataset
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks import task_kind
from nasfuse.train.in_progress import TrainingInProgress, own_generator
from nasfuse.train.inference import batches_in_order
from nasfuse.train.mixup import Loss
from nasfuse.train.network_stack import NetworkStack
from nasfuse.train.progress import ProgressFile
from nasfuse.train.trained import Epoch, Trained

_CPU = torch.device("cpu")


def train_stacked(
    recipe: Recipe,
    datasets: Sequence[Dataset],
    *,
    seeds: Sequence[int],
    report: Callable[[Sequence[Epoch], Sequence[Tensor] | None], None] | None = None,
    resume_file: Path | None = None,
) -> list[Trained]:
    """Returns the networks of `recipe` trained on several data sets on the CPU, each with a seed of its own.

    Every network is that of `train_network` with its data set and seed, within rounding, but for dropout: its draws are
    those of the stack, which depend on its first seed. Patience has no effect, as in every cross-validation.

    Args:
        recipe: Recipe with `data.validation` for which `reason_against` has none.
        datasets: Data sets, with as many batches of training samples each.
        seeds: Seed of the training on each.
        report: Called after every epoch with its results and the (n, m) digests of the outputs for the validation
            samples, one of each for each data set; when trainings are resumed, first with the results of all earlier
            epochs and None.
        resume_file: File with the progress of all; see `train_network`.

    Raises:
        NonFiniteError: The loss or the metric of a training became NaN or infinite.
        InvalidInputError: The recipe does not fit the data.
        CheckpointError: The resume file is damaged or belongs to another recipe, seeds or data sets.
    """
    run, progress = _StackedRun(recipe, datasets, seeds=seeds), ProgressFile(resume_file)
    with own_generator(derive_seed(seeds[0], "stack"), _CPU):
        state = progress.read(identity=run.identity)
        if state is not None:
            run.restore(state)
            if report is not None:
                for epochs in zip(*(member.curve for member in run.members), strict=True):
                    report(epochs, None)
        with run.fixed_features_computed_once():
            while run.epoch < recipe.training.epochs:
                results, digests = run.one_epoch()
                if report is not None:
                    report(results, digests)
                progress.write(run.state)
    return run.finish()


class _StackedRun:
    """Trainings in progress that take every step together; those of the networks draw nothing from each other."""

    def __init__(self, recipe: Recipe, datasets: Sequence[Dataset], *, seeds: Sequence[int]) -> None:
        self.members = [
            TrainingInProgress(recipe, dataset, seed=seed, device=_CPU)
            for dataset, seed in zip(datasets, seeds, strict=True)
        ]
        self.identity = "\n".join(member.identity for member in self.members)
        self.clip_norm = recipe.training.clip_norm
        self.stack = NetworkStack(
            [member.network for member in self.members],
            [member.stream_loss for member in self.members],
            lr=recipe.training.lr,
            weight_decay=recipe.training.weight_decay,
        )
        self.generators = [_generator_state(derive_seed(seed, "training")) for seed in seeds]

    @property
    def epoch(self) -> int:
        return self.members[0].epoch

    @contextmanager
    def fixed_features_computed_once(self) -> Iterator[None]:
        with ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.fixed_features_computed_once())
            yield

    def one_epoch(self) -> tuple[list[Epoch], list[Tensor]]:
        """Returns the results of an epoch, and the digests (n, m) of the outputs for the validation samples."""
        batches = [member.batches_of_next_epoch() for member in self.members]
        self.stack.train()
        losses = torch.stack([self._one_step(rows) for rows in zip(*batches, strict=True)]).mean(dim=0)
        digests = self._val_digests()
        ends = zip(self.members, losses, digests, strict=True)
        return [member.end_epoch(float(loss), digests=own) for member, loss, own in ends], digests

    def _val_digests(self) -> list[Tensor]:
        """Returns the digests (n, m) of the outputs of each network for its validation samples."""
        splits = [member.dataset.val for member in self.members]
        rows = [batches_in_order(split, names=member.names) for member, split in zip(self.members, splits, strict=True)]
        found: list[list[Tensor]] = [[] for _ in splits]
        with self.stack.inference():
            for index in range(max(map(len, rows))):
                batches = [
                    split.batch(own[min(index, len(own) - 1)], names=member.names)  # the last one again and again
                    for member, split, own in zip(self.members, splits, rows, strict=True)
                ]
                outputs, _ = self.stack.run(batches)
                for number, (member, batch) in enumerate(zip(self.members, batches, strict=True)):
                    if index < len(rows[number]):
                        own_outputs = outputs[number][: len(batch.targets)].float()
                        digest = task_kind(member.task.kind).digest(own_outputs, batch.targets, loss=member.criterion)
                        found[number].append(digest)
        return [torch.cat(digests) for digests in found]

    def _one_step(self, rows: Sequence[Tensor]) -> Tensor:
        """Returns the (k,) losses of a step with a batch for each network."""
        prepared = self._batches(rows)
        outputs, of_streams = self.stack.run([batch for batch, _ in prepared])
        losses = torch.stack(
            [
                self._loss(number, batch, loss, outputs[number], [one[number] for one in of_streams])
                for number, (batch, loss) in enumerate(prepared)
            ]
        )
        self.stack.step(losses, lr=self.members[0].learning_rate(), clip_norm=self.clip_norm)
        for member in self.members:
            member.step += 1
        return losses.detach()

    def _loss(self, number: int, batch: Batch, loss: Loss, outputs: Tensor, of_streams: Sequence[Tensor]) -> Tensor:
        """Returns the loss of a network; outputs beyond the samples of its batch are left out."""
        n_samples = len(batch.targets)

        def loss_of(logits: Tensor) -> Tensor:
            return loss(logits[:n_samples], batch.targets)

        return self.members[number].stream_loss.weighted(loss_of(outputs), of_streams, loss_of)

    def _batches(self, rows: Sequence[Tensor]) -> list[tuple[Batch, Loss]]:
        """Returns a batch for each network, augmented with its own random numbers, and its loss."""
        found, outside = [], torch.get_rng_state()
        for number, (member, own) in enumerate(zip(self.members, rows, strict=True)):
            torch.set_rng_state(self.generators[number])
            found.append(member.batch(own))
            self.generators[number] = torch.get_rng_state()
        torch.set_rng_state(outside)
        return found

    def finish(self) -> list[Trained]:
        self.stack.release()
        return [Trained(member.network.eval(), member.curve[-1], member.curve) for member in self.members]

    def state(self) -> dict[str, Any]:
        outside, states = torch.get_rng_state(), []
        for member, generator in zip(self.members, self.generators, strict=True):
            torch.set_rng_state(generator)
            states.append(member.state())
        torch.set_rng_state(outside)
        return {
            "identity": self.identity,
            "members": states,
            "optimizer": self.stack.optimizer.state_dict(),
            "generator": outside,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for number, member in enumerate(self.members):
            member.restore(state["members"][number])
            self.generators[number] = torch.get_rng_state()
        self.stack.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["generator"])


def _generator_state(seed: int) -> Tensor:
    with own_generator(seed, _CPU):
        return torch.get_rng_state()
