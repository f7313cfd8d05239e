"""Fusion operators with a common interface, one per file."""

from nasfuse.nn.fusion.base import Fusion, VectorFusion
from nasfuse.nn.fusion.bottleneck import Bottleneck
from nasfuse.nn.fusion.concat import Concat
from nasfuse.nn.fusion.cross_attention import CrossAttention
from nasfuse.nn.fusion.equilibrium import Equilibrium
from nasfuse.nn.fusion.gated import Gated
from nasfuse.nn.fusion.joint_tokens import JointTokens
from nasfuse.nn.fusion.late import Late
from nasfuse.nn.fusion.low_rank import LowRank
from nasfuse.nn.fusion.sum import Sum

#: Operators by `kind` of a recipe, built with the widths of the streams, `n_joint` and the options of the kind; one
#: that `fuses_outputs` is built with the heads of the streams and its options.
FUSIONS: dict[str, type[Fusion]] = {
    "late": Late,
    "concat": Concat,
    "sum": Sum,
    "gated": Gated,
    "low_rank": LowRank,
    "equilibrium": Equilibrium,
    "bottleneck": Bottleneck,
    "cross_attention": CrossAttention,
    "joint_tokens": JointTokens,
}

__all__ = ["FUSIONS", "Fusion", "VectorFusion"]
