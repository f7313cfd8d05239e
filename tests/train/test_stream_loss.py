"""Losses of streams: what they are, where their heads are, and what is refused."""

import pytest
import torch

from nasfuse.errors import ConfigError
from nasfuse.nn import build_network
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks import task_kind
from nasfuse.train import train_network
from nasfuse.train.stream_loss import StreamLoss

CPU = torch.device("cpu")
ROUTER = {"routes": ["v", "v+s"], "reads": "inputs"}


def loss_of(batch):
    return lambda outputs: task_kind("multiclass").loss(outputs, batch.targets)


def train(recipe, dataset, **options):
    return train_network(recipe, dataset, seed=0, device=CPU, **options)


@pytest.fixture
def make_network(make_config, modalities, task):
    def make(fusion, router=None):
        plain = make_config({"v": "linear", "s": "conv"}, fusion=fusion).to_plain()
        config = type(make_config({"v": "mlp"})).parse({**plain, **({"router": router} if router else {})})
        return build_network(config, list(modalities.values()), task).eval()

    return make


def test_streams_of_late_fusion_are_judged_by_its_heads(make_network, make_batch):
    network, batch = make_network("late"), make_batch(["v", "s"])
    term = StreamLoss(network, share=0.3, n_outputs=4)
    assert list(term.parameters()) == []
    with term.listening():
        outputs = network(batch.inputs, batch.masks)
    loss = loss_of(batch)
    alone = [
        head(network.streams[name](batch.inputs[name], batch.masks.get(name), n_stages=n_stages).summary())
        for name, n_stages in network.branch.route.n_stages.items()
        for head in [network.branch.fusion.heads.heads[name]]
    ]
    expected = 0.7 * loss(outputs) + 0.3 * (loss(alone[0]) + loss(alone[1])) / 2
    assert torch.allclose(term.of(loss(outputs), loss), expected, atol=1e-6)


@pytest.mark.parametrize("fusion", ["concat", "joint_tokens"])
def test_other_fusions_get_heads_outside_the_network(make_network, make_batch, fusion):
    network, batch = make_network(fusion), make_batch(["v", "s"])
    keys = set(network.state_dict())
    term = StreamLoss(network, share=0.5, n_outputs=4)
    with term.listening():
        outputs = network(batch.inputs, batch.masks)
    term.of(loss_of(batch)(outputs), loss_of(batch)).backward()
    assert set(network.state_dict()) == keys
    assert all(p.grad is not None for p in term.parameters())
    assert all(p.grad is not None for p in network.streams.parameters())
    again = network(batch.inputs, batch.masks).sum()
    assert term.of(again, loss_of(batch)) is again, "nothing is kept outside of the block"


def test_every_fused_route_counts(make_network, make_batch):
    network, batch = make_network("concat", ROUTER), make_batch(["v", "s"])
    term = StreamLoss(network, share=0.5, n_outputs=4)
    with term.listening():
        routes = network.all_routes(batch.inputs, batch.masks)
    loss = loss_of(batch)
    assert len(term.heads) == 1, "the route of one stream has no other loss"
    assert not torch.isclose(term.of(loss(routes.outputs[:, 0]), loss), loss(routes.outputs[:, 0]))


@pytest.mark.parametrize("options", [{}, {"mixup": 0.3, "label_smoothing": 0.1, "modality_dropout": 0.2}])
@pytest.mark.parametrize("fusion", ["late", "gated"])
def test_it_changes_a_training_that_a_seed_still_decides(
    make_recipe, make_dataset, assert_same, differ, fusion, options
):
    dataset = make_dataset(n_samples=60)
    recipe = make_recipe(fusion=fusion, stream_loss=0.5, **options)
    first = train(recipe, dataset)
    assert_same(first, train(recipe, dataset))
    assert differ(first, train(make_recipe(fusion=fusion, **options), dataset))


def test_a_dynamic_network_is_trained_with_it(make_recipe, make_dataset, differ):
    dataset = make_dataset(n_samples=60)
    first, second = (train(make_recipe(router=ROUTER, stream_loss=share), dataset) for share in (0.0, 0.5))
    assert differ(first, second)


def test_streams_learn_what_they_show_although_the_fusion_does_not_ask(make_recipe, make_dataset):
    """With the loss of late fusion alone, one stream leaves to the other what the other shows, too."""
    dataset = make_dataset(n_samples=300)
    losses = []
    for share in (0.0, 1.0):
        recipe = make_recipe(encoders={"v": "linear", "s": "linear"}, fusion="late", stream_loss=share, epochs=12)
        network = train(recipe, dataset).network
        batch = dataset.val.batch(torch.arange(len(dataset.val)), names=("v", "s"))
        outputs = network.streams["v"](batch.inputs["v"], None, n_stages=0).summary()
        losses.append(task_kind("multiclass").loss(outputs, batch.targets))
    assert losses[1] < losses[0]


def test_an_interruption_changes_nothing(make_recipe, make_dataset, assert_same, tmp_path, monkeypatch):
    dataset, recipe = make_dataset(n_samples=60), make_recipe(fusion="concat", stream_loss=0.5)
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    file = tmp_path / "resume.pt"

    def interrupt(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, dataset, report=interrupt, resume_file=file)
    assert file.is_file()
    assert_same(train(recipe, dataset, resume_file=file), train(recipe, dataset))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stream_loss": 1.0}, "1 trains the streams alone"),
        ({"stream_loss": 0.5, "mixup": 0.2, "mixup_at": "manifold"}, "not supported with manifold mixup"),
        (
            {"stream_loss": 0.5, "router": ROUTER, "routing": {"first_stage": 0.0, "freeze": False}},
            "part of the first stage",
        ),
        ({"stream_loss": 1.0, "router": ROUTER, "fusion": "late"}, "1 trains the streams alone"),
    ],
)
def test_what_would_leave_something_untrained_is_refused(make_recipe, options, message):
    with pytest.raises(ConfigError, match=rf"training\.stream_loss.*{message}"):
        make_recipe(**options)


def test_one_is_enough_for_a_mean_of_streams(make_recipe):
    assert isinstance(make_recipe(fusion="late", stream_loss=1.0), Recipe)
