"""Augmentation of batches: shifts, mirroring, zoom, contrast and brightness, noise, modality dropout and mixup."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, blanked
from nasfuse.errors import InvalidInputError
from nasfuse.spec.training import TrainingConfig
from nasfuse.train.mixup import Loss, Mixture
from nasfuse.train.movement import Movement


class Augmentation:
    """Augmentation of training batches. Random numbers come from torch's current generator."""

    def __init__(
        self,
        *,
        shift: float,
        input_noise: float,
        modality_dropout: float,
        mixup: float,
        flip: float = 0.0,
        scale: float = 1.0,
        jitter: float = 0.0,
        ids: frozenset[str] = frozenset(),
        fixed: frozenset[str] = frozenset(),
        aligned: tuple[str, ...] = (),
    ) -> None:
        """Builds an augmentation of the given strengths (see `TrainingConfig`).

        Args:
            shift: Largest translation.
            input_noise: Standard deviation of the noise.
            modality_dropout: Probability that a sample loses a modality, for each of them.
            mixup: Alpha of the mixup of inputs.
            flip: Probability of images to be mirrored.
            scale: Largest zoom factor of images.
            jitter: Strength of changes of contrast and brightness of images.
            ids: Names of sequences of token ids, which get no noise, no shifts and no mixup.
            fixed: Names of inputs of fixed features, which get no noise or jitter and are not moved.
            aligned: Names of images that are registered with each other, and with the label maps if targets are maps:
                one movement is drawn for all of them. Others move independently.

        Raises:
            InvalidInputError: Inputs are mixed and there are token ids, which cannot be averaged; or aligned images
                move and some of them have fixed features.
        """
        if mixup > 0 and ids:
            raise InvalidInputError(
                f"training.mixup: token ids cannot be averaged, and {', '.join(sorted(ids))} holds them; set it to 0, "
                "or set training.mixup_at to manifold, which averages their embeddings"
            )
        still = [name for name in aligned if name in fixed]
        if still and (shift > 0 or flip > 0 or scale > 1):
            raise InvalidInputError(
                f"data.aligned: {still[0]} has an encoder with fixed features, whose inputs are not moved with the "
                "others; set training.shift and training.flip to 0 and training.scale to 1, or choose another encoder"
            )
        self.shift = shift
        self.flip = flip
        self.scale = scale
        self.jitter = jitter
        self.aligned = aligned
        self.input_noise = input_noise
        self.modality_dropout = modality_dropout
        self.mixup = mixup
        self.ids = ids
        self.fixed = fixed

    @classmethod
    def from_config(
        cls,
        training: TrainingConfig,
        *,
        ids: frozenset[str],
        fixed: frozenset[str] = frozenset(),
        aligned: tuple[str, ...] = (),
    ) -> "Augmentation":
        """Returns the augmentation of inputs that `training` configures, without manifold mixup."""
        return cls(
            shift=training.shift,
            input_noise=training.input_noise,
            modality_dropout=training.modality_dropout,
            mixup=training.mixup if training.mixup_at == "inputs" else 0.0,
            flip=training.flip,
            scale=training.scale,
            jitter=training.jitter,
            ids=ids,
            fixed=fixed,
            aligned=aligned,
        )

    @property
    def changes_fixed(self) -> bool:
        """Whether inputs of fixed features differ from those of the data."""
        return max(self.modality_dropout, self.mixup) > 0

    def apply(self, batch: Batch) -> Batch:
        """Returns the batch with movements, jitter, noise and modality dropout."""
        inputs, targets = dict(batch.inputs), batch.targets
        together = [name for name in self.aligned if name in inputs]
        if together and self._moves:
            size = max((tuple(inputs[name].shape[2:]) for name in together), key=lambda one: one[0] * one[1])
            movement = self._movement(inputs[together[0]], size=targets.shape[1:] if targets.dim() == 3 else size)
            inputs.update({name: movement.of_images(inputs[name]) for name in together})
            targets = movement.of_labels(targets) if targets.dim() == 3 else targets
        for name, values in inputs.items():
            if name in self.ids or name in self.fixed:
                continue
            if name not in together:
                values = self._moved_alone(values, is_padded=name in batch.masks)
            if self.jitter > 0 and values.dim() == 4:
                values = jittered(values, self.jitter)
            if self.input_noise > 0:
                values = values + self.input_noise * torch.randn_like(values)
            if name in batch.present:
                values = blanked(values, ~batch.present[name])
            inputs[name] = values
        changed = Batch(inputs, batch.masks, targets, batch.present)
        return self._without_some(changed) if self.modality_dropout > 0 and len(inputs) > 1 else changed

    @property
    def _moves(self) -> bool:
        return self.shift > 0 or self.flip > 0 or self.scale > 1

    def _movement(self, images: Tensor, *, size: Sequence[int], shift: float | None = None) -> Movement:
        return Movement.draw(
            len(images),
            size=(size[0], size[1]),
            shift=self.shift if shift is None else shift,
            scale=self.scale,
            flip=self.flip,
            device=images.device,
        )

    def _moved_alone(self, values: Tensor, *, is_padded: bool) -> Tensor:
        """Returns a modality that is registered with no other one."""
        if self.shift > 0 and not is_padded:
            values = _shifted(values, self.shift)
        if (self.flip > 0 or self.scale > 1) and values.dim() == 4:
            values = self._movement(values, size=values.shape[2:], shift=0.0).of_images(values)
        return values

    def mix(self, batch: Batch, loss: Loss) -> tuple[Batch, Loss]:
        """Returns a batch whose inputs are mixed with those of a permutation of it, and the loss of mixed samples.

        A mixed sample lacks a modality if both of its parts do; where one does, its part is 0, the mean.

        Args:
            batch: Batch to mix.
            loss: Loss of logits and targets.
        """
        if self.mixup <= 0:
            return batch, loss
        mixture = Mixture.draw(self.mixup, batch.targets)
        inputs = {name: mixture.of(values) for name, values in batch.inputs.items()}
        masks = {name: mask | mask[mixture.order] for name, mask in batch.masks.items()}
        present = {name: own | own[mixture.order] for name, own in batch.present.items()}
        return Batch(inputs, masks, batch.targets, present), mixture.of_loss(loss)

    def _without_some(self, batch: Batch) -> Batch:
        """Returns the batch in which samples have lost modalities, but none the last one that it has.

        A sample that would lose all keeps one of them, each with the same probability.
        """
        names = sorted(batch.inputs)
        device = batch.inputs[names[0]].device
        everyone = torch.ones(len(batch.inputs[names[0]]), dtype=torch.bool, device=device)
        present = torch.stack([batch.present.get(name, everyone) for name in names], dim=1)
        draws = torch.rand(present.shape, device=device)
        kept = present & (draws >= self.modality_dropout)
        last = draws.masked_fill(~present, -1.0).argmax(dim=1)
        rescued = torch.arange(len(names), device=device) == last[:, None]
        kept |= rescued & present & ~kept.any(dim=1, keepdim=True)
        for position, name in enumerate(names):
            batch = batch.without(name, present[:, position] & ~kept[:, position])
        return batch


def jittered(images: Tensor, strength: float) -> Tensor:
    """Returns standardised images (b, C, H, W) with other contrast and brightness, see `TrainingConfig.jitter`."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    contrast = 1 + strength * (2 * torch.rand_like(mean[:, :1]) - 1)
    brightness = strength * (torch.randn_like(mean[:, :1]) + torch.randn_like(mean) / 3)
    return (images - mean) * contrast + mean + brightness


def _shifted(values: Tensor, share: float) -> Tensor:
    """Returns images (b, C, H, W) or sequences (b, T, F) shifted by random offsets; values at edges are repeated."""
    axes = {4: (2, 3), 3: (1,), 2: ()}[values.dim()]
    for axis in axes:
        size = values.shape[axis]
        reach = round(share * size)
        if reach == 0:
            continue
        offsets = torch.randint(-reach, reach + 1, (len(values), 1), device=values.device)
        places = (torch.arange(size, device=values.device) + offsets).clamp(0, size - 1)
        shape = [1] * values.dim()
        shape[0], shape[axis] = len(values), size
        values = values.gather(axis, places.view(shape).expand_as(values))
    return values
