"""Spaces with fusion at sites: fields and designs by task, and routes that end at sites."""

import pytest

from nasfuse.domain.modality import Task
from nasfuse.nn import build_network
from nasfuse.search.dependent_values import distinct_routes
from nasfuse.search.effective_recipe import effective_hash
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.schema.yaml_file import read_document
from nasfuse.spec.space import SpaceConfig
from tests.search.test_shipped_spaces import REGISTERED, SPACES, draw_recipes


def dense(task, metric):
    config = SpaceConfig.parse(read_document(SPACES["dense"]).values)
    data = {"source": "x.npz", "target": "y", "modalities": {"image": "image", "depth": "image"}, "task": task}
    return Space(config, REGISTERED, base={"metric": metric, "data": data})


class TestLabelMaps:
    space = dense("segmentation", "miou")

    def test_fusion_keeps_maps_and_a_decoder_is_drawn(self):
        names = {parameter.name for parameter in self.space.parameters}
        assert "network.decoder.width" in names
        assert "chain of cells (MFAS)" not in self.space.baselines
        fusions = {self.space.recipe(values).network.fusion for values in self.space.baselines.values()}
        assert {fusion.kind for fusion in fusions if fusion is not None} == {"sites"}

    def test_designs_have_every_number_of_sites(self):
        designs = {name: self.space.recipe(values).network for name, values in self.space.baselines.items()}
        sites = {name: [site["image"] for site in network.sites] for name, network in designs.items()}
        assert sites["every stage (ESANet)"] == [0, 1, 2, 3, 4]
        assert sites["last 2 stages"] == [3, 4]
        assert sites["early"] == [0]
        assert sites["one stream: depth"] == []
        gate = designs["gate over all depths (DynMM): depth"]
        assert gate.main == "depth"
        assert gate.router.routes == ("depth", "image:0+depth", "image:1+depth", "image:2+depth", "image+depth")

    def test_draws_are_built(self):
        for recipe in draw_recipes(self.space, 200):
            assert recipe.network.fusion is None or recipe.network.fusion.kind == "sites"
        for recipe in draw_recipes(self.space, 5):
            if recipe.network.router is None:
                build_network(recipe.network, REGISTERED, Task("segmentation", 3, (32, 32)))


def test_other_tasks_have_no_decoder_and_every_fusion():
    space = dense("multiclass", "accuracy")
    assert not any(parameter.name.startswith("network.decoder.") for parameter in space.parameters)
    kinds = {space.recipe(values).network.fusion.kind for values in space.baselines.values() if "+" in str(values)}
    assert kinds == {"sites", "chain", "concat"}


@pytest.mark.parametrize(
    ("fusion", "word", "routes"),
    [
        ({}, "rgb > rgb+depth:1 > rgb+depth", ["rgb", "rgb+depth:1", "rgb+depth"]),
        ({"n_sites": 2}, "rgb > rgb+depth:1 > rgb+depth:2 > rgb+depth", ["rgb", "rgb+depth:2", "rgb+depth"]),
        ({"n_sites": 1}, "rgb > rgb+depth:1 > rgb+depth", ["rgb", "rgb+depth"]),
        ({"n_sites": 2, "position": "first"}, "depth > rgb:0+depth > rgb+depth", ["depth", "rgb:0+depth", "rgb+depth"]),
    ],
)
def test_streams_of_a_route_end_at_the_next_site(fusion, word, routes):
    streams = {name: {"encoder": "resnet", "depth": 3} for name in ("rgb", "depth")}
    network = {"route": ["rgb", "depth"], "streams": streams, "fusion": {"kind": "sites", **fusion}}
    found = distinct_routes(word, network)
    assert found == routes
    data = {"source": "x.npz", "target": "y", "modalities": {"rgb": "image", "depth": "image"}}
    recipe = Recipe.parse({"data": data, "network": {**network, "router": {"kind": "sequential", "routes": found}}})
    assert recipe.network.router.routes == tuple(routes)


def test_equal_sites_have_one_hash():
    streams = {name: {"encoder": "resnet", "depth": 2} for name in ("rgb", "depth")}
    data = {"source": "x.npz", "target": "y", "modalities": {"rgb": "image", "depth": "image"}}

    def hashed(**fusion):
        network = {"route": ["rgb", "depth"], "streams": streams, "fusion": {"kind": "sites", **fusion}}
        return effective_hash(Recipe.parse({"data": data, "network": network}))

    listed = [{"rgb": n, "depth": n} for n in (1, 2)]
    assert hashed(n_sites=2) == hashed(sites=listed) == hashed(n_sites=2, main="rgb", heads=2, n_bottlenecks=9)
    assert hashed() == hashed(n_sites=7) == hashed(n_sites=3, position="first")
    assert hashed(last_operator="se_add") == hashed()
    assert hashed(last_operator="bottleneck") != hashed(last_operator="bottleneck", n_bottlenecks=9)
    assert len({hashed(), hashed(n_sites=2), hashed(reduction=4), hashed(main="depth"), hashed(operator="sum")}) == 5


def test_sites_one_by_one_are_drawn_as_words():
    word = "image:1+depth:2 > image:3+depth:3"
    field = {"choices": [word, "image:0+depth:0"]}
    fixed = {"network.fusion.kind": "sites", "network.streams.*.encoder": "resnet"}
    config = SpaceConfig.parse({"fields": {"network.fusion.sites": field}, "fixed": fixed})
    data = {"source": "x.npz", "target": "y", "modalities": {"image": "image", "depth": "image"}}
    space = Space(config, REGISTERED, base={"metric": "accuracy", "data": data})
    recipe = space.recipe({"network.fusion.sites": word})
    assert recipe.network.sites == ({"image": 1, "depth": 2}, {"image": 3, "depth": 3})
