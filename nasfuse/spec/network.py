"""Schema of the network of a recipe: streams, routes, fusion and router."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from nasfuse.domain.route import most_stages, parse_route
from nasfuse.errors import nearest
from nasfuse.spec.data import Name
from nasfuse.spec.decoder import DecoderConfig
from nasfuse.spec.fusion import FusionConfig
from nasfuse.spec.routing import RouterConfig
from nasfuse.spec.schema.model import MisfitError, Model
from nasfuse.spec.sites import SitesConfigBase, SitesFusion, main_stream
from nasfuse.spec.stream import LinearStream, StreamConfig


class NetworkConfig(Model):
    """The network: streams, fusion and router.

    Attributes:
        route: Names of the streams, in order. Without a router, all of them run for every sample.
        streams: Encoder options by stream name, one entry per stream of the route.
        fusion: Fusion of two or more streams; None for a single stream.
        dropout: Dropout probability before the head.
        router: Router that chooses one of several routes per sample; None in a static network.
        decoder: Decoder of a network for label maps; None: the default one, or none for other tasks.
    """

    route: Annotated[tuple[Name, ...], Field(min_length=1)]
    streams: dict[Name, StreamConfig]
    fusion: FusionConfig | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    router: RouterConfig | None = None
    # Left out where there is none, so that older recipes keep their hashes.
    decoder: Annotated[DecoderConfig | None, Field(exclude_if=lambda value: value is None)] = None

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with the kind of a router that has none: `gate`."""
        if isinstance(values, dict) and isinstance(values.get("router"), dict):
            return {**values, "router": {"kind": "gate", **values["router"]}}
        return values

    def stages(self, route: Mapping[str, int | None]) -> dict[str, int]:
        """Returns the number of stages that each stream of `route` runs, in the order of the network's streams.

        A value of None in `route` means all stages: those before the fusion, or the full depth of a single stream.
        """
        return {name: self._stages(name, route) for name in self.route if name in route}

    @property
    def head_options(self) -> dict[str, Any]:
        """Returns the options of the head of each route, keyword arguments of `nasfuse.nn.head.LinearHead`."""
        return {"dropout": self.dropout}

    @property
    def linear_width(self) -> int | None:
        """Number of features of linear streams; None where they are the outputs of the network, see `LinearStream`."""
        return None if self.fusion is None else self.fusion.width

    @property
    def depths(self) -> dict[str, int]:
        """Returns the number of stages that are built for each stream: the most that any route runs."""
        texts = None if self.router is None else self.router.routes
        routes = [dict.fromkeys(self.route)] if texts is None else [parse_route(text) for text in texts]
        found = [self.stages(route) for route in routes]
        return {name: max(stages.get(name, 0) for stages in found) for name in self.route}

    @property
    def main(self) -> str | None:
        """Name of the main stream of a fusion at sites; None for other networks."""
        if not isinstance(self.fusion, SitesFusion):
            return None
        return main_stream(self.fusion.main, self.route, () if self.router is None else self.router.routes)

    @property
    def sites(self) -> tuple[Mapping[str, int], ...]:
        """Stages before each site of a fusion at sites, or each cell of a chain, by stream; none for other fusions."""
        if not isinstance(self.fusion, SitesConfigBase):
            return ()
        return self.fusion.sites_for({name: self.streams[name].depth for name in self.route}, main=self.main)

    def _stages(self, name: str, route: Mapping[str, int | None]) -> int:
        wanted = route[name]
        if wanted is not None:
            return wanted
        depth = self.streams[name].depth
        if isinstance(self.fusion, SitesConfigBase) and name != self.main and len(route) > 1:
            return max((site[name] for site in self.sites if name in site), default=depth)
        placement = depth if self.fusion is None else self.fusion.placement
        return most_stages(depth, n_streams=len(route), placement=placement)

    @model_validator(mode="after")
    def _route_and_streams_agree(self) -> Self:
        if len(set(self.route)) != len(self.route):
            raise ValueError(f"route names a stream twice: {', '.join(self.route)}; name each once")
        missing = [name for name in self.route if name not in self.streams]
        idle = [name for name in self.streams if name not in self.route]
        if missing:
            raise ValueError(f"route names {', '.join(missing)}, which is missing from streams; add it there")
        if idle:
            raise ValueError(f"streams has {', '.join(idle)}, which is not on the route; remove it")
        if len(self.route) == 1 and self.fusion is not None:
            raise ValueError("a route of one stream has nothing to fuse; remove fusion or add a stream")
        if len(self.route) > 1 and self.fusion is None:
            raise ValueError("a route of several streams needs fusion; add it, for example {kind: concat}")
        return self

    @model_validator(mode="after")
    def _sites_exist(self) -> Self:
        if not isinstance(self.fusion, SitesConfigBase):
            return self
        main, before = self.main, -1
        if main is not None and main not in self.route:
            raise MisfitError("fusion.main", f"the network has no stream {main!r}; {nearest(main, self.route)}")
        for number, site in enumerate(self.sites):
            here = f"site {number + 1}"
            for name, n_stages in site.items():
                if name not in self.route:
                    raise MisfitError("fusion.sites", f"{here} names stream {name!r}; {nearest(name, self.route)}")
                depth = self.streams[name].depth
                if n_stages > depth:
                    raise MisfitError(
                        "fusion.sites",
                        f"{here} comes after {n_stages} stages of {name}, which has {depth}; use at most {depth}",
                    )
            if main is None:
                continue
            if main not in site:
                raise MisfitError("fusion.sites", f"{here} does not name {main}, the main stream; add its stages")
            if site[main] <= before:
                raise MisfitError(
                    "fusion.sites",
                    f"{here} comes after {site[main]} stages of {main}, the site before it after {before}; give sites "
                    "with increasing stages of the main stream",
                )
            before = site[main]
        return self._sites_suit_the_streams()

    def _sites_suit_the_streams(self) -> Self:
        idle = [name for name in self.route if not any(name in site for site in self.sites)]
        if idle:
            raise MisfitError("fusion.sites", f"no site names {', '.join(idle)}; add one, or remove the stream")
        linear = [name for name in self.route if isinstance(self.streams[name], LinearStream)]
        if linear and self.main is not None:
            raise MisfitError(
                "fusion.kind",
                f"stream {linear[0]} is one linear map, which has no features for sites; give it another encoder, for "
                "example mlp",
            )
        return self

    @model_validator(mode="after")
    def _routes_exist(self) -> Self:
        if self.router is None:
            return self
        used: set[str] = set()
        found: dict[tuple[tuple[str, int], ...], str] = {}
        for text in self.router.routes:
            route = parse_route(text)
            used |= route.keys()
            for name, wanted in route.items():
                if name not in self.route:
                    raise MisfitError("router.routes", f"{text} names stream {name!r}; {nearest(name, self.route)}")
                most = self._stages(name, {**route, name: None})
                before = " before the fusion" if len(route) > 1 else ""
                if wanted is not None and wanted > most:
                    raise MisfitError(
                        "router.routes",
                        f"{text} runs {wanted} stages of {name}, which has {most}{before}; use at most {most}",
                    )
            self._takes_part(text, route)
            stages = tuple(self.stages(route).items())
            if stages in found:
                raise MisfitError("router.routes", f"{text} is the same route as {found[stages]}; remove one")
            found[stages] = text
        idle = [name for name in self.route if name not in used]
        if idle:
            raise MisfitError(
                "router.routes", f"no route runs {', '.join(idle)}; add such a route, or remove the stream from route"
            )
        return self

    def _takes_part(self, text: str, route: Mapping[str, int | None]) -> None:
        """Checks that a route of a fusion at sites has the main stream, and that its streams end at sites."""
        if not isinstance(self.fusion, SitesConfigBase):
            return
        main = self.main
        if main is not None and main not in route:
            raise MisfitError(
                "router.routes", f"{text} does not run {main}, the main stream, which head and decoder read; add it"
            )
        for name, wanted in route.items():
            depth = self.streams[name].depth
            if name == main or len(route) == 1:
                if wanted not in (None, depth):
                    raise MisfitError(
                        "router.routes", f"{text} ends {name} early, whose last stage is read; write {name} alone"
                    )
                continue
            known = sorted({site[name] for site in self.sites if name in site})
            if wanted is not None and wanted not in known:
                raise MisfitError(
                    "router.routes",
                    f"{text} ends {name} where no site reads it; sites read it after "
                    f"{', '.join(str(one) for one in known)} stages, so use one of these",
                )
