"""Construction of the branches of a network: its sites, fusions, heads and decoder."""

from collections.abc import Callable, Mapping, Sequence

from nasfuse.domain.modality import Task
from nasfuse.errors import InvalidInputError
from nasfuse.nn.branch import Branch, Route
from nasfuse.nn.chain import Chain, ChainBranch
from nasfuse.nn.decoder import Decoder
from nasfuse.nn.fusion import FUSIONS, Fusion
from nasfuse.nn.head import Head, IdentityHead, LinearHead
from nasfuse.nn.packing import Packing
from nasfuse.nn.places import Place, streams_at
from nasfuse.nn.residual_blocks import Grid
from nasfuse.nn.sites import SITE_OPERATORS, SiteOperator
from nasfuse.nn.sites.aligned import can_be_aligned
from nasfuse.nn.sites.sites import Site, Sites
from nasfuse.nn.stream import Stream
from nasfuse.nn.tokens import Extent
from nasfuse.spec.decoder import DecoderConfig
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.sites import OPERATOR_OPTIONS, WITH_HEADS, ChainFusion, SitesFusion
from nasfuse.spec.stream import LinearStream, default_heads


class BranchBuilder:
    """Builds the branches of one network, whose parts they share as the fusion wants it.

    Attributes:
        sites: Sites of the network; None without any.
    """

    def __init__(
        self, config: NetworkConfig, streams: Mapping[str, Stream], task: Task, *, lengths: Mapping[str, int]
    ) -> None:
        """Builds the sites, if the network has some.

        Raises:
            InvalidInputError: The tokens of streams do not correspond at a site.
        """
        self._config = config
        self._streams = streams
        self._task = task
        self._lengths = lengths
        self.sites = self._build_sites() if isinstance(config.fusion, SitesFusion) else None
        self._shared: Head | Decoder | None = None

    def branch(self, route: Route) -> Branch:
        """Returns the branch of a route.

        Raises:
            InvalidInputError: The fusion or an encoder has no map for the label maps of the task.
        """
        config, names = self._config, list(route.n_stages)
        if self.sites is not None:
            return self._after_sites(route, self.sites)
        if self._task.size is not None:
            return self._dense(route)
        if len(names) == 1:
            return Branch(route, fusion=None, head=self._stream_head(names[0], route), read=self._vectors(route))
        if isinstance(config.fusion, ChainFusion):
            return self._chain(route, config.fusion)
        assert config.fusion is not None, "checked by the recipe"
        options = config.fusion.model_dump(exclude={"kind", "placement"})
        operator = FUSIONS[config.fusion.kind]
        if operator.fuses_outputs:
            heads = {name: self._stream_head(name, route) for name in names}
            fused = operator(heads, **options)
            return Branch(route, fusion=fused, head=IdentityHead(self._task.n_outputs), read=self._vectors(route))
        deepest = max(config.streams[name].depth for name in names)
        n_joint = max(deepest - config.fusion.placement, 0)
        reads_tokens = config.fusion.reads_tokens
        reads = Stream.width_at if reads_tokens else Stream.out_width_at
        widths = {name: reads(self._streams[name], n_stages) for name, n_stages in route.n_stages.items()}
        read: list[Packing] = [((width,),) for width in widths.values()] if reads_tokens else self._vectors(route)
        fusion: Fusion = operator(widths, n_joint=n_joint, **options)
        return Branch(route, fusion=fusion, head=self._head(fusion.out_width), read=read)

    def _vectors(self, route: Route) -> list[Packing]:
        """Returns the packings of the output vectors of the streams at the end of a route."""
        return [self._vector(name, n_stages) for name, n_stages in route.n_stages.items()]

    def _vector(self, name: str, n_stages: int) -> Packing:
        """Returns the packing of the output vector of a stream: a block for all statistics of its readout."""
        stream = self._streams[name]
        return ((len(stream.readout.names), stream.width_at(n_stages)),)

    def _head(self, width: int) -> LinearHead:
        return LinearHead(width, n_outputs=self._task.n_outputs, **self._config.head_options)

    def _stream_head(self, name: str, route: Route) -> Head:
        if isinstance(self._config.streams[name], LinearStream) and self._config.linear_width is None:
            return IdentityHead(self._task.n_outputs)
        return self._head(self._streams[name].out_width_at(route.n_stages[name]))

    def _chain(self, route: Route, fusion: ChainFusion) -> Branch:
        reached = [
            {name: n for name, n in cell.items() if n <= route.n_stages.get(name, -1)} for cell in self._config.sites
        ]
        cells = [cell for cell in reached if cell]
        widths = [sum(self._streams[name].out_width_at(n) for name, n in cell.items()) for cell in cells]
        chain = Chain(widths, width=fusion.width, activation=fusion.activation, dropout=fusion.dropout)
        read = [self._vector(name, n) for cell in cells for name, n in cell.items()]
        return ChainBranch(route, cells, chain=chain, head=self._head(fusion.width), read=read)

    def _after_sites(self, route: Route, sites: Sites) -> Branch:
        line, n_stages = sites.line(route.n_stages), route.n_stages[sites.main]
        if self._task.size is None:
            self._shared = self._shared or self._head(self._streams[sites.main].out_width_at(n_stages))
            read = [self._vector(sites.main, n_stages)]
            return Branch(route, fusion=None, head=self._shared, places=[Place(line, n_stages)], read=read)
        scales = self._scales(sites.main, n_stages)
        self._shared = self._shared or self._decoder(sites.main, scales)
        return self._decoding(route, self._shared, [sites.at_stage(line, stage) for stage in scales])

    def _dense(self, route: Route) -> Branch:
        names = list(route.n_stages)
        if len(names) > 1:
            assert self._config.fusion is not None, "checked by the recipe"
            raise InvalidInputError(
                f"network.fusion.kind: {self._config.fusion.kind} gives one vector per sample, and {self._task.kind} "
                "needs a map; use kind: sites"
            )
        scales = self._scales(names[0], route.n_stages[names[0]])
        places = [place for stage in scales for place in streams_at({names[0]: stage})]
        return self._decoding(route, self._decoder(names[0], scales), places)

    def _decoding(self, route: Route, decoder: Head | Decoder, places: Sequence[Place]) -> Branch:
        read: list[Packing] = [((self._streams[one.line.stream].width_at(one.n_stages),),) for one in places]
        return Branch(route, fusion=None, head=decoder, places=places, read=read)

    def _scales(self, name: str, n_stages: int) -> list[int]:
        """Returns the stages of a stream that end a scale: the last one of each size of its map, finest first."""
        found: dict[Grid, int] = {}
        for stage in range(n_stages + 1):
            grid = self._extent(name, stage).grid
            if grid is None:
                raise InvalidInputError(
                    f"network.streams.{name}: {self._task.kind} needs the map of an image after every stage; use "
                    "encoder resnet, or conv or transformer with a reducer that keeps the grid (max or average)"
                )
            found[grid] = stage
        return list(found.values())

    def _decoder(self, name: str, scales: Sequence[int]) -> Decoder:
        assert self._task.size is not None, "only label maps have a decoder"
        options = self._config.decoder or DecoderConfig()
        grids = [self._extent(name, stage).grid for stage in scales]
        return Decoder(
            [self._streams[name].width_at(stage) for stage in scales],
            [grid for grid in grids if grid is not None],
            n_outputs=self._task.n_outputs,
            size=self._task.size,
            n_blocks=options.blocks,
            dropout=self._config.dropout,
            **options.model_dump(exclude={"blocks"}),
        )

    def _extent(self, name: str, n_stages: int) -> Extent:
        return self._streams[name].macs(self._lengths.get(name, 0), n_stages=n_stages)[1]

    def _build_sites(self) -> Sites:
        config, fusion, main = self._config, self._config.fusion, self._config.main
        assert isinstance(fusion, SitesFusion)
        assert main is not None
        built = {name: len(self._streams[name].stages) for name in config.route}
        sites: list[Site] = []
        operators: list[SiteOperator] = []
        for number, stages in enumerate(config.sites, start=1):
            kind = fusion.operator_of(number - 1, len(config.sites))
            others = {name: n for name, n in stages.items() if name != main and n <= built[name]}
            if not others:  # no route reaches it
                continue
            widths = {name: self._streams[name].width_at(n) for name, n in others.items()}
            width = self._streams[main].width_at(stages[main])
            options = {name: getattr(fusion, name) for name in OPERATOR_OPTIONS[kind]}
            if kind in WITH_HEADS:
                options["heads"] = self._heads(fusion, width, f"site {number}")
            make: Callable[..., SiteOperator] = SITE_OPERATORS[kind]
            operator = make(width, widths, **options)
            self._check_alignment(operator, main, stages[main], others, f"site {number}")
            single = {name for name, n in others.items() if self._extent(name, n) == Extent(1)}
            sites.append(Site(stages[main], others, frozenset(single)))
            operators.append(operator)
        return Sites(main, sites, operators)

    def _heads(self, fusion: SitesFusion, width: int, where: str) -> int:
        heads = fusion.heads or default_heads(width)
        if width % heads:
            raise InvalidInputError(
                f"network.fusion.heads: {heads} does not divide the width {width} of the main stream at {where}; "
                "change it, or leave it out"
            )
        return heads

    def _check_alignment(
        self, operator: SiteOperator, main: str, n_stages: int, others: Mapping[str, int], where: str
    ) -> None:
        if operator.reads_any_number:
            return
        own = self._extent(main, n_stages)
        for name, stages in others.items():
            extent = self._extent(name, stages)
            if not can_be_aligned(extent, own):
                raise InvalidInputError(
                    f"network.fusion.operator: at {where}, {main} has {_shown(own)} and {name} {_shown(extent)}, which "
                    "do not correspond; use operator cross_attention or bottleneck, or other strides"
                )


def _shown(extent: Extent) -> str:
    return f"{extent.n_tokens} tokens" if extent.grid is None else f"a map of {extent.grid[0]} x {extent.grid[1]}"
