"""How the network of a recipe is trained."""

from typing import Annotated, Literal

from pydantic import Field

from nasfuse.spec.equilibrium import EquilibriumConfig
from nasfuse.spec.routing import RoutingConfig
from nasfuse.spec.schema.model import Model


class TrainingConfig(Model):
    """How the network is trained.

    Attributes:
        epochs: Passes over the training data at most.
        batch_size: Samples per step.
        lr: Peak learning rate of AdamW; warm-up, then cosine to zero.
        weight_decay: Of AdamW, on matrices only.
        warmup: Share of the steps that the learning rate rises.
        clip_norm: Gradient norm above which gradients are scaled down.
        patience: Epochs without a better validation loss before training stops, with the weights of its best
            epoch. A training that runs to its end keeps its last weights: the rate has come down to zero.
        label_smoothing: Share of a label's certainty that is given up: of the right class to all classes, of a yes/no
            label to its contrary. A regression has none.
        mixup: Alpha of the Beta distribution of mixup (one lambda per batch); 0 is off.
        mixup_at: What is mixed: `inputs`, or `manifold` for the features at a depth drawn per batch, which is right
            after the stems, after a stage of every stream, or before the head. A network with a router has no
            manifold mixup.
        input_noise: Standard deviation of Gaussian noise on the normalised inputs.
        shift: Largest random translation of images and sequences, as a share of their size, in whole steps.
        modality_dropout: Chance that a sample of a fused network loses one modality in training; token ids are
            never lost, as no id means nothing.
        routing: How routes and router are trained, for a network that has a router.
        ratio_weight: Of the ratio loss of `gumbel` reducers, which holds the chance that a token is kept to the keep
            ratio (DynamicViT).
        equilibrium: How fixed points are kept within reach, for a network that has `equilibrium` fusion.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 64
    lr: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    patience: Annotated[int, Field(ge=1)] = 10
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: Annotated[float, Field(ge=0)] = 0.0
    mixup_at: Literal["inputs", "manifold"] = "inputs"
    input_noise: Annotated[float, Field(ge=0)] = 0.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ratio_weight: Annotated[float, Field(ge=0)] = 2.0
    routing: RoutingConfig | None = None
    equilibrium: EquilibriumConfig | None = None
