"""Schema of the training options of a recipe."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nasfuse.domain.loss import LOSS_OPTIONS, LOSSES
from nasfuse.errors import nearest
from nasfuse.spec.elastic import ElasticTrainingConfig
from nasfuse.spec.equilibrium import EquilibriumConfig
from nasfuse.spec.routing import RoutingConfig
from nasfuse.spec.schema.model import Model


def _is_a_loss(name: str | None) -> str | None:
    if name is not None and name not in LOSSES:
        raise ValueError(f"{name!r} is not known; {nearest(name, LOSSES)}")
    return name


class TrainingConfig(Model):
    """The training of a network with AdamW.

    Attributes:
        epochs: Maximum number of passes over the training data.
        batch_size: Samples per step.
        lr: Peak learning rate; it rises linearly during warm-up and then decays to zero with a cosine.
        weight_decay: Weight decay, applied to matrices only.
        warmup: Share of the steps in which the learning rate rises.
        clip_norm: Largest gradient norm; larger gradients are scaled down to it.
        patience: Epochs without a lower validation loss before training stops and the weights of the best epoch are
            restored. A training that runs all epochs keeps its last weights, because the learning rate has reached
            zero.
        loss: Loss that is minimised, one of `nasfuse.domain.loss.LOSSES`, and by which `patience` chooses an epoch.
            Default: `cross_entropy` for classes and labels, `huber` for a regression.
        focal_gamma: Exponent of the focal loss, which weights a sample by (1 - p)^gamma for its predicted probability
            p; 0 is the cross entropy.
        label_smoothing: Share of the target probability that is spread over all classes, or for a binary label moved
            to the opposite label. Not available for a regression.
        class_weights: `balanced` weights each class, or each value of a yes/no label, in the training loss by the
            inverse of its share of the training samples (of a dense task: of the labelled pixels); `root_balanced` by
            the square root of that, for classes so unequal that rare ones would be predicted everywhere;
            `median_frequency` weights a class of pixels by the median frequency of the classes divided by its own,
            where the frequency is its share of the samples that have it (dense tasks only); `none` weights all equally.
            Validation losses have no weights. Not available for a regression.
        stream_loss: Share s of the loss that is the mean loss of the streams: (1 - s) loss + s mean_m loss_m. With
            `late` fusion these are the losses of its heads; other fusions get heads that exist during training alone.
            The share of streams in a dynamic network is part of the first stage of its training.
        mixup: Alpha of the Beta distribution of mixup (one lambda per batch); 0 disables mixup.
        mixup_at: Where samples are mixed: `inputs`, or `manifold` for the features at a depth that is drawn per batch
            (after the stems, after a stage of every stream, or before the head). Networks with a router do not support
            `manifold`.
        input_noise: Standard deviation of Gaussian noise on the standardised inputs. Inputs of fixed features (random
            convolutions) get no noise and are not moved, so that their features can be computed once.
        shift: Largest random translation of images and sequences, as a share of their size, rounded to whole steps.
            Images that `data.aligned` names, and the label maps of a dense task, are shifted, mirrored and zoomed
            together, others independently. Where nothing is known, images repeat their edges, and labels are void.
        flip: Probability that an image is mirrored left to right.
        scale: Largest zoom factor s of images: the factor is drawn from U(1, s), and a window of the size of the image
            is cut out anywhere. 1 disables it.
        jitter: Strength s of random changes of the contrast and brightness of images, drawn for each image and
            modality: the distance of a standardised pixel from the mean of its channel is multiplied by
            U(1 - s, 1 + s), and N(0, s) is added to all channels, and N(0, s / 3) to each. 0 disables it.
        modality_dropout: Probability that a training sample of a network with several streams is treated as lacking a
            modality, for each of them; a sample never loses all. Every stream then has a learned placeholder.
        routing: Training of routes and router; None in a network without a router.
        ratio_weight: Weight of the ratio loss of `gumbel` reducers, which keeps the mean probability of keeping a token
            at the keep ratio (DynamicViT).
        elastic: How sub-networks are trained; None in a network without `elastic`.
        equilibrium: Jacobian regularisation; None in a network without `equilibrium` fusion.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 64
    lr: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    patience: Annotated[int, Field(ge=1)] = 10
    loss: Annotated[str | None, AfterValidator(_is_a_loss)] = None
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced", "root_balanced", "median_frequency"] = "none"
    stream_loss: Annotated[float, Field(ge=0, le=1)] = 0.0
    mixup: Annotated[float, Field(ge=0)] = 0.0
    mixup_at: Literal["inputs", "manifold"] = "inputs"
    input_noise: Annotated[float, Field(ge=0)] = 0.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    scale: Annotated[float, Field(ge=1, le=8)] = 1.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ratio_weight: Annotated[float, Field(ge=0)] = 2.0
    routing: RoutingConfig | None = None
    elastic: ElasticTrainingConfig | None = None
    equilibrium: EquilibriumConfig | None = None

    @property
    def loss_weights(self) -> dict[str, float]:
        """Returns the weights of the auxiliary losses that modules of a network have, by name of the loss."""
        return {"ratio": self.ratio_weight}

    @property
    def loss_options(self) -> dict[str, float]:
        """Returns the options of all losses by name, of which `loss` takes its own."""
        return {name: getattr(self, name) for name in LOSS_OPTIONS}
