"""Schema of fusions at several sites: which streams are joined, after which of their stages."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from nasfuse.domain.route import parse_route, routes_of
from nasfuse.spec.data import Name
from nasfuse.spec.schema.model import Model

Stages = Annotated[int, Field(ge=0, le=64)]

#: Options of each operator of `SitesFusion`, beside the number of heads.
OPERATOR_OPTIONS: dict[str, tuple[str, ...]] = {
    "se_add": ("reduction",),
    "sum": (),
    "concat": (),
    "cross_attention": ("mlp_ratio", "dropout"),
    "bottleneck": ("mlp_ratio", "dropout", "n_bottlenecks"),
}

#: Operators with attention heads.
WITH_HEADS = frozenset({"cross_attention", "bottleneck"})

#: Options of any operator.
ALL_OPTIONS = tuple(dict.fromkeys([*(name for names in OPERATOR_OPTIONS.values() for name in names), "heads"]))


def main_stream(given: str | None, route: Sequence[str], routes: Sequence[str]) -> str:
    """Returns the main stream of a fusion at sites: the given one, or the first that is on all routes of a router.

    Args:
        given: `SitesFusion.main`.
        route: Streams of the network.
        routes: Routes of its router in text form; none in a static network.
    """
    shared = [name for name in route if all(name in parse_route(text) for text in routes)]
    return given or next(iter(shared), route[0])


def _sites_of_text(value: Any) -> Any:
    """Returns sites in text form, `rgb:1+depth:2 > rgb:3+depth:3`, as mappings, and a list as a tuple."""
    if isinstance(value, str):
        return tuple(parse_route(text) for text in routes_of(value))
    return tuple(value) if isinstance(value, list) else value


class SitesConfigBase(Model):
    """Sites of a fusion, given one by one or by their number.

    Attributes:
        sites: Stages of each stream before each site, such as `[{rgb: 1, depth: 2}, {rgb: 3, depth: 3}]`, or one word
            `rgb:1+depth:2 > rgb:3+depth:3` among the choices of a space; takes precedence over `n_sites` and
            `position`. A stream that a site does not name does not take part in it.
        n_sites: Number of sites, which come after the same number of stages of every stream, or after its last one;
            None: one after each stage of the main stream (in a chain of the deepest one), its stem included. If there
            are fewer, all of them.
        position: Whether these are the `first` sites, from the stems on, or the `last`.
    """

    #: Every stream runs as many stages as its last site needs.
    placement: ClassVar[int] = 64
    #: What is fused are tokens of the main stream, or vectors in cells of their own.
    reads_tokens: ClassVar[bool] = False
    #: Fields that may shrink after training (`Recipe.elastic`).
    shrinkable: ClassVar[tuple[str, ...]] = ()

    sites: Annotated[
        tuple[Annotated[dict[Name, Stages], Field(min_length=2)], ...] | None, BeforeValidator(_sites_of_text)
    ] = None
    n_sites: Annotated[int, Field(ge=1, le=65)] | None = None
    position: Literal["first", "last"] = "last"

    def sites_for(self, depths: Mapping[str, int], *, main: str | None) -> tuple[Mapping[str, int], ...]:
        """Returns the stages before each site by stream, for streams of `depths`; `main` is the main stream, if any."""
        if self.sites is not None:
            return self.sites
        most = max(depths.values()) if main is None else depths[main]
        found = [{name: min(n, depth) for name, depth in depths.items()} for n in range(most + 1)]
        n_sites = min(self.n_sites or len(found), len(found))
        return tuple(found[:n_sites] if self.position == "first" else found[len(found) - n_sites :])

    @property
    def _places(self) -> str:
        """Describes the sites for tables."""
        if self.sites is not None:
            return ", ".join("+".join(f"{name}:{n}" for name, n in site.items()) for site in self.sites)
        if self.n_sites is None:
            return "every stage"
        return f"the {self.position} {'stage' if self.n_sites == 1 else f'{self.n_sites} stages'}"


Operator = Literal["se_add", "sum", "concat", "cross_attention", "bottleneck"]


class SitesFusion(SitesConfigBase):
    """A main stream that takes in features of the others at several sites and goes on (ESANet, DynMM's fusion level).

    The head or the decoder reads the main stream. Routes share streams, operators and head; a stream takes part in the
    sites that come after no more of its stages than the route runs.

    Attributes:
        main: Name of the main stream, which every route has; None: the first stream that every route has.
        operator: `se_add` (ESANet), `sum`, `concat` (with a projection), `cross_attention`, or `bottleneck` (attention
            through a few shared tokens). The first three need tokens that correspond; those of images are resized.
        last_operator: Operator of the last site, for example attention at the coarsest scale; None: `operator`.
        reduction: Width divided by the hidden width of a squeeze-and-excite gate; `se_add`.
        heads: Attention heads, a divisor of the width of the main stream; None: 4, 2 or 1, of at least 8 features each.
        mlp_ratio: Hidden width of the MLP of an attention block divided by its width.
        n_bottlenecks: Number of shared tokens; `bottleneck`.
        dropout: Dropout probability inside attention blocks.
    """

    #: Linear streams, which have as many features as a fusion is wide, have no sites.
    width: ClassVar[None] = None

    kind: Literal["sites"]
    main: Name | None = None
    operator: Operator = "se_add"
    last_operator: Operator | None = None
    reduction: Annotated[int, Field(ge=1)] = 16
    heads: Annotated[int, Field(ge=1)] | None = None
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 2
    n_bottlenecks: Annotated[int, Field(ge=1, le=256)] = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        main = "" if self.main is None else f" into {self.main}"
        last = "" if self.last_operator in (None, self.operator) else f", {self.last_operator} at the last"
        return f"{self.operator}{main} at {self._places}{last}"

    def operator_of(self, number: int, n_sites: int) -> Operator:
        """Returns the operator of site `number` of `n_sites`, counted from 0."""
        return self.last_operator or self.operator if number == n_sites - 1 else self.operator

    @property
    def options_in_use(self) -> frozenset[str]:
        """Names of the options that an operator of the fusion has."""
        operators = {self.operator, self.last_operator or self.operator}
        own = {name for operator in operators for name in OPERATOR_OPTIONS[operator]}
        return frozenset(own | ({"heads"} if operators & WITH_HEADS else set()))


class ChainFusion(SitesConfigBase):
    """A chain of cells, each of which fuses one layer of each stream and the cell before (MFAS, Perez-Rua et al.).

    Attributes:
        width: Features of a cell.
        activation: Activation of a cell.
        dropout: Dropout probability of the features that a cell reads from the one before.
    """

    shrinkable: ClassVar[tuple[str, ...]] = ("width",)

    kind: Literal["chain"]
    width: Annotated[int, Field(ge=1, le=8192)] = 32
    activation: Literal["relu", "sigmoid", "leaky_relu"] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def summary(self) -> str:
        """Returns a short description for tables."""
        return f"chain of {self.activation} cells at {self._places}, width {self.width}"
