"""Starting from the streams of trained networks: which weights, what fits, and what is lost is said."""

from pathlib import Path

import pytest
import torch

from nasfuse.errors import InheritanceError
from nasfuse.nn import build_network
from nasfuse.train import loop, save_checkpoint, train_network
from nasfuse.train.inheritance import inherit_streams

CPU = torch.device("cpu")
ROUTER = {"routes": ["v", "v+s"], "width": 4}


class Interruption(Exception):
    """Breaks a training off."""


def train(recipe, dataset, **more):
    return train_network(recipe, dataset, seed=3, device=CPU, **more)


@pytest.fixture
def build(make_recipe, dataset):
    def build(**changes):
        return build_network(make_recipe(**changes).network, dataset.modalities, dataset.task)

    return build


@pytest.fixture
def write(tmp_path):
    def write(network, name="model.pt"):
        save_checkpoint(tmp_path / name, {"network": network.state_dict()})
        return tmp_path / name

    return write


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("source", [{}, {"fusion": "gated"}, {"router": ROUTER}])
@pytest.mark.parametrize("own", [{}, {"router": ROUTER}])
def test_only_the_stream_is_copied(build, write, source, own):
    given, network = build(placement=2, **source), build(placement=2, **own)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    inherit_streams(network, {"s": write(given)})
    assert equal(network.streams["s"], given.streams["s"])
    assert not equal(network.streams["v"], given.streams["v"])
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert all(key.startswith("streams.s_stream.") for key in changed)


def test_streams_of_several_networks(build, write):
    one, other, network = build(), build(), build()
    inherit_streams(network, {"v": write(one, "one.pt"), "s": write(other, "other.pt")})
    assert equal(network.streams["v"], one.streams["v"])
    assert equal(network.streams["s"], other.streams["s"])


@pytest.mark.parametrize("what", ["missing", "damaged", "no network", "another stream", "shorter", "wider"])
def test_weights_that_are_lost_or_do_not_fit(build, write, tmp_path, what):
    network = build(placement=2)
    file = tmp_path / "model.pt"
    if what == "damaged":
        write(network).write_bytes(file.read_bytes()[:-100])
    elif what == "no network":
        save_checkpoint(file, {"step": 3})
    elif what != "missing":
        others = {"another stream": {"encoders": {"i": "conv", "v": "mlp"}}, "shorter": {"placement": 1}}
        wider = {"encoders": {"s": "conv", "i": "conv", "v": "mlp"}, "placement": 2}
        write(build(**others.get(what, wider)))
    with pytest.raises(InheritanceError, match=r"^stream s cannot start from the weights in .*model\.pt: "):
        inherit_streams(network, {"s": file})


def test_a_training_starts_from_them(make_recipe, dataset, build, write, monkeypatch):
    source = build()
    starts = []
    one_epoch = loop._Run.one_epoch

    def note(run):
        starts.append({key: value.clone() for key, value in run.network.state_dict().items()})
        return one_epoch(run)

    monkeypatch.setattr(loop._Run, "one_epoch", note)
    recipe = make_recipe(epochs=2)
    train(recipe, dataset)
    train(recipe, dataset, weight_sources={"s": write(source)})
    plain, heir = starts[0], starts[2]
    given = source.state_dict()
    for key in plain:
        assert torch.equal(heir[key], given[key] if key.startswith("streams.s_stream.") else plain[key])
    assert any(not torch.equal(heir[key], plain[key]) for key in plain)


def test_a_resumed_training_reads_no_checkpoint_again(make_recipe, dataset, build, write, tmp_path, monkeypatch):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe, weight_sources = make_recipe(epochs=4), {"v": write(build())}
    unbroken = train(recipe, dataset, weight_sources=weight_sources)

    def interrupt(epoch):
        if epoch.epoch == 3:
            raise Interruption

    resume_file = tmp_path / "resume.pt"
    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, weight_sources=weight_sources, report=interrupt, resume_file=resume_file)
    resumed = train(recipe, dataset, weight_sources={"v": Path("gone.pt")}, resume_file=resume_file)
    assert equal(resumed.network, unbroken.network)


def test_a_training_whose_weights_are_missing_does_not_start(make_recipe, dataset, tmp_path):
    with pytest.raises(InheritanceError, match="no such checkpoint"):
        train(make_recipe(), dataset, weight_sources={"v": tmp_path / "gone.pt"}, report=pytest.fail)
