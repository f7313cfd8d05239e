"""Values of a recipe that depend on other values of it: options of a reducer, and routes of streams of some depth."""

from collections.abc import Mapping
from typing import Any

from nasfuse.domain.route import most_stages, parse_route, routes_of, write_route
from nasfuse.errors import ConfigError
from nasfuse.search.streams import PREFIX
from nasfuse.spec.elastic import expanded, shrinkable_fields, why_not_elastic
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.reducer import DEFAULT_KIND
from nasfuse.spec.schema.fields import accepts, types_at
from nasfuse.spec.sites import ChainFusion, SitesFusion, main_stream


def suitable_options(
    values: Mapping[str, Any], *, path: str, typed: str, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the options of a reducer without fixed ones that its place or its kind does not have or accept.

    Args:
        values: Options by name; some of them may be fixed for other kinds.
        path: Path of the reducer in a recipe.
        typed: The same path with the kind of its stream or fusion.
        parameters: Parameters that are drawn.
    """

    def suits(key: str, place: str) -> bool:
        return f"{path}.{key}" in parameters or accepts(Recipe, f"{place}.{key}", values[key])

    kind = values["kind"] if "kind" in values and suits("kind", typed) else DEFAULT_KIND
    return {key: value for key, value in values.items() if suits(key, f"{typed}.{kind}")}


def with_suitable_elastic(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a plain recipe in which fields are elastic that its network has, to values below its own.

    Nothing is elastic in a network of a kind that has no sub-networks.
    """
    if "elastic" not in recipe:
        return dict(recipe)
    try:
        config = NetworkConfig.parse(recipe["network"])
    except ConfigError:
        return dict(recipe)  # it is refused, for more than that
    own = {path: value for path, value in shrinkable_fields(config).items() if isinstance(value, int)}
    own = own if why_not_elastic(config) is None else {}
    wanted = expanded(recipe["elastic"], config.route)
    kept = {path: [value for value in wanted[path] if value < own[path]] for path in wanted if path in own}
    kept = {path: values for path, values in kept.items() if values}
    training = recipe.get("training", {})
    if not kept:
        training = {name: value for name, value in training.items() if name != "elastic"}
    return {**recipe, "training": training, "elastic": kept}


def distinct_routes(word: str, network: Mapping[str, Any]) -> list[str]:
    """Returns the routes in `word`, without those that are equal to an earlier one because streams are shallow."""
    fusion = network.get("fusion", {"kind": "concat"})
    if fusion["kind"] in ("sites", "chain"):
        return _routes_to_sites(word, network)
    placement = _stages_of("network.fusion", fusion["kind"], fusion, "placement")
    routes = []
    for text in routes_of(word):
        stages = parse_route(text)
        for name, wanted in stages.items():
            stream = network["streams"][name]
            depth = _stages_of(f"{PREFIX}{name}", stream["encoder"], stream, "depth")
            if wanted is not None and wanted >= most_stages(depth, n_streams=len(stages), placement=placement):
                stages[name] = None
        routes.append(write_route(stages))
    return list(dict.fromkeys(routes))


def _routes_to_sites(word: str, network: Mapping[str, Any]) -> list[str]:
    """Returns the distinct routes in `word` for a fusion at sites, each stream of which ends at the next site."""
    texts, names = routes_of(word), list(network["route"])
    options = network["fusion"]
    fusion = SitesFusion.parse(options) if options["kind"] == "sites" else ChainFusion.parse(options)
    main = main_stream(fusion.main, names, texts) if isinstance(fusion, SitesFusion) else None
    depths = {
        name: _stages_of(f"{PREFIX}{name}", one["encoder"], one, "depth") for name, one in network["streams"].items()
    }
    if main is not None and main not in depths:
        return list(texts)  # which the recipe refuses
    sites = fusion.sites_for(depths, main=main)
    routes = []
    for text in texts:
        stages = parse_route(text)
        for name, wanted in stages.items():
            known = sorted({site[name] for site in sites if name in site})
            later = [one for one in known if wanted is not None and one >= wanted]
            stages[name] = later[0] if later and later[0] < known[-1] and len(stages) > 1 and name != main else None
        routes.append(write_route(stages))
    return list(dict.fromkeys(routes))


def _stages_of(path: str, tag: str, values: Mapping[str, Any], name: str) -> int:
    """Returns the number of stages `name` in `values`, or that of the options of kind `tag` at `path`."""
    (options,) = types_at(Recipe, f"{path}.{tag}")
    field = options.model_fields.get(name)
    return int(values.get(name, getattr(options, name) if field is None else field.default))
