"""Fine-tuning: which weights are taken, which stay as they are, and what a training makes of it."""

import re

import pytest
import torch

from nasfuse.domain.modality import Task
from nasfuse.errors import CheckpointError, InvalidInputError
from nasfuse.nn import build_network
from nasfuse.train import train_network
from nasfuse.train.initial_weights import InitialWeights

CPU = torch.device("cpu")


@pytest.fixture
def build(make_recipe, dataset):
    def build(task=None, **changes):
        return build_network(make_recipe(**changes).network, dataset.modalities, task or dataset.task)

    return build


def start_of(network, *, same=True, fingerprint="abc"):
    return InitialWeights("old.pt", fingerprint, network.state_dict(), has_same_outputs=same)


def changed(network, start):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start.give(network)
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_an_equal_network_takes_everything(build):
    given, network = build(), build()
    start_of(given).give(network)
    assert all(
        torch.equal(a, b) for a, b in zip(given.state_dict().values(), network.state_dict().values(), strict=True)
    )
    total = sum(one.numel() for one in network.parameters())
    n_arrays = len(list(network.parameters()))
    assert start_of(given).summary(network) == (
        f"{total:,} of {total:,} weights ({n_arrays} of {n_arrays} arrays) start from old.pt"
    )


def test_a_head_for_other_classes_is_new(build):
    given, network = build(), build(Task("multiclass", 7))
    names = changed(network, start_of(given, same=False))
    assert names
    assert not any(name.startswith("branch.head.") for name in names)
    total = sum(one.numel() for one in network.parameters())
    head = sum(one.numel() for one in network.branch.head.parameters())
    found = re.fullmatch(
        r"([\d,]+) of ([\d,]+) weights \((\d+) of (\d+) arrays\) start from old\.pt; new are (branch\.head\.\S+, ){3}"
        r"branch\.head\.\S+ \(the targets are others\)",
        start_of(given, same=False).summary(network),
    )
    assert [int(part.replace(",", "")) for part in found.groups()[:2]] == [total - head, total]
    assert int(found[4]) - int(found[3]) == 4


def test_equal_shapes_of_other_outputs_are_not_taken(build):
    """A head of as many classes, and a linear stream whose features are the outputs."""
    names = changed(build(), start_of(build(), same=False))
    assert not any(name.startswith("branch.head.") for name in names)
    mixed = {"encoders": {"v": "linear", "s": "conv"}, "fusion": "late"}
    names = changed(build(**mixed), start_of(build(**mixed), same=False))
    assert names
    assert all(name.startswith("streams.s_stream.") for name in names)


def test_other_shapes_and_streams_stay(build):
    given = build(encoders={"v": "mlp", "i": "conv"})
    names = changed(build(encoders={"v": "mlp", "s": "conv"}), start_of(given))
    assert any(name.startswith("streams.v_stream.") for name in names)
    assert not any(name.startswith("streams.s_stream.") for name in names)


def test_nothing_in_common_is_refused(build):
    given, network = build(encoders={"v": "mlp"}, fusion=None), build(encoders={"i": "conv"}, fusion=None)
    with pytest.raises(InvalidInputError, match=r"^no weight of old\.pt has the name and the shape .* without --init$"):
        start_of(given, same=False).give(network)


def test_a_head_is_taken_as_a_whole(build):
    """The bias has as many numbers where the width is another one."""
    state = build().state_dict()
    state["branch.head.out.weight"] = torch.zeros(4, 99)
    start = InitialWeights("old.pt", "abc", state, has_same_outputs=True)
    assert not any(name.startswith("branch.head.") for name in start.matching(build()))


def test_fixed_features_are_taken_as_a_whole(build):
    given, network = build(encoders={"s": "random_conv", "v": "mlp"}), build(encoders={"s": "random_conv", "v": "mlp"})
    start, stem = start_of(given), "streams.s_stream.stem."
    assert {name for name in network.state_dict() if name.startswith(stem)} <= start.matching(network).keys()
    fixed = next(name for name, _ in network.named_buffers() if name.startswith(stem))
    less = {name: value for name, value in given.state_dict().items() if name != fixed}
    start = InitialWeights("old.pt", "abc", less, has_same_outputs=True)
    assert not any(name.startswith(stem) for name in start.matching(network))


@pytest.mark.parametrize("kind", ["gate", "sequential"])
def test_thresholds_and_calibrations_are_those_of_the_new_network(build, kind):
    router = {"kind": kind, "routes": ["v", "v+s"]}
    given, network = build(router=router), build(router=router)
    taken = start_of(given).matching(network)
    assert "threshold" in network.state_dict()
    assert all("." in name for name in taken)


class TestTraining:
    @pytest.fixture
    def given(self, make_recipe, make_dataset):
        dataset = make_dataset(n_samples=60)
        return dataset, train_network(make_recipe(epochs=4), dataset, seed=1, device=CPU)

    def test_it_starts_where_the_other_ended(self, make_recipe, given):
        """With next to no learning rate, the first epoch has the loss of the given network."""
        dataset, trained = given
        recipe = make_recipe(epochs=1, lr=1e-9)
        still = train_network(recipe, dataset, seed=2, device=CPU, start=start_of(trained.network))
        assert still.chosen.val_loss == pytest.approx(trained.chosen.val_loss, rel=1e-4)
        fresh = train_network(recipe, dataset, seed=2, device=CPU)
        assert fresh.chosen.val_loss > 1.1 * still.chosen.val_loss

    def test_a_resumed_training_goes_on_and_another_start_is_refused(
        self, make_recipe, given, assert_same, tmp_path, monkeypatch
    ):
        dataset, trained = given
        recipe, start, file = make_recipe(), start_of(trained.network), tmp_path / "resume.pt"
        monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)

        def interrupt(epoch):
            if epoch.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_network(recipe, dataset, seed=2, device=CPU, start=start, report=interrupt, resume_file=file)
        for other in (None, start_of(trained.network, fingerprint="other")):
            with pytest.raises(CheckpointError, match="holds the progress of another recipe, seed or data set"):
                train_network(recipe, dataset, seed=2, device=CPU, start=other, resume_file=file)
        resumed = train_network(recipe, dataset, seed=2, device=CPU, start=start, resume_file=file)
        assert_same(resumed, train_network(recipe, dataset, seed=2, device=CPU, start=start))
