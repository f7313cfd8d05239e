"""The sites of a network, at which its main stream takes in features of others and goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from nasfuse.nn.places import Line, Place, Taken
from nasfuse.nn.sites.aligned import aligned
from nasfuse.nn.sites.base import SiteOperator
from nasfuse.nn.tokens import Extent, Tokens


@dataclass(frozen=True)
class Site:
    """Where the main stream takes in others.

    Attributes:
        main: Stages of the main stream before the site.
        others: Stages of each other stream before the site.
        single: Names of the other streams of which samples always have a single token there.
    """

    main: int
    others: Mapping[str, int]
    single: frozenset[str] = frozenset()


class Sites(nn.Module):
    """Sites with an operator each, shared by all routes.

    A route decides at which sites a stream takes part: at those that come after no more of its stages than the route
    runs. At a site without any, the main stream goes on as it is.

    Attributes:
        main: Name of the main stream.
        sites: Sites, with increasing stages of the main stream.
    """

    def __init__(self, main: str, sites: Sequence[Site], operators: Sequence[SiteOperator]) -> None:
        """Keeps sites and their operators."""
        super().__init__()
        self.main = main
        self.sites = tuple(sites)
        self.operators = nn.ModuleList(operators)

    def line(self, n_stages: Mapping[str, int]) -> Line:
        """Returns the main stream after all sites of a route that runs `n_stages` of each of its streams."""
        taken = []
        for number, site in enumerate(self.sites):
            streams = tuple(name for name, count in site.others.items() if count <= n_stages.get(name, -1))
            if streams and site.main <= n_stages[self.main]:
                taken.append(Taken(number, streams))
        return Line(self.main, tuple(taken))

    def at_stage(self, line: Line, n_stages: int) -> Place:
        """Returns the place along `line` after `n_stages` of the main stream and the sites there."""
        passed = tuple(one for one in line.taken if self.sites[one.site].main <= n_stages)
        return Place(Line(line.stream, passed), n_stages)

    def inputs(self, line: Line) -> tuple[Place, dict[str, Place]]:
        """Returns what the last site of `line` reads: of the main stream, and of the others by name."""
        last = line.taken[-1]
        site = self.sites[last.site]
        return Place(line.before, site.main), {name: Place(Line(name), site.others[name]) for name in last.streams}

    def take(self, line: Line, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the tokens of the main stream after the last site of `line`."""
        operator = self._operator(line)
        if not operator.reads_any_number:
            single = self.sites[line.taken[-1].site].single
            others = {name: aligned(tokens, main, is_single=name in single) for name, tokens in others.items()}
        result: Tokens = operator(main, others)
        return result

    def macs(self, line: Line, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the last site of `line`."""
        operator = self._operator(line)
        if not operator.reads_any_number:
            others = dict.fromkeys(others, main)
        return operator.macs(main, others)

    def _operator(self, line: Line) -> SiteOperator:
        operator: SiteOperator = self.operators[line.taken[-1].site]  # type: ignore[assignment]
        return operator
