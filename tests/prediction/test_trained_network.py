"""Networks of files on data as they are: names of classes, numbers in the unit of the data, routes, steps, bad rows."""

import numpy as np
import pytest
import torch

import nasfuse
from nasfuse.errors import DataError, InvalidInputError
from nasfuse.nn.equilibrium import equilibrium_layers, listening
from nasfuse.nn.routing.network import listening_to_routes
from nasfuse.prediction import read_network
from nasfuse.prediction.outputs import outputs_of
from nasfuse.train import predict_logits, tabulate_routes
from tests.prediction.conftest import MODALITIES, arrays_of, stream

CPU = torch.device("cpu")


def unlabelled(arrays=None):
    return {name: values for name, values in (arrays or arrays_of()).items() if name != "y"}


def with_nan(row):
    arrays = unlabelled()
    arrays["v"] = arrays["v"].copy()
    arrays["v"][row, 1] = np.nan
    return arrays


class TestClasses:
    def test_predictions_are_those_of_the_data_set_in_the_order_of_the_rows(self, static):
        path, dataset, _ = static
        network = nasfuse.load_network(path)
        names, probabilities = network.predict(unlabelled()), network.predict_proba(unlabelled())
        assert network.class_names == ("ant", "bee", "cat")
        rows = dataset.test.columns["v"].index.numpy()
        logits = predict_logits(network.network, dataset.test, device=CPU)
        assert names[rows].tolist() == [network.class_names[k] for k in logits.argmax(dim=1)]
        np.testing.assert_allclose(probabilities[rows], logits.double().softmax(dim=1).numpy(), atol=1e-6)

    def test_a_row_alone_has_the_same_prediction(self, static):
        network = nasfuse.load_network(static[0])
        arrays = unlabelled()
        one = {name: values if name == "i" else values[8:9] for name, values in arrays.items()}
        np.testing.assert_allclose(network.predict_proba(one)[0], network.predict_proba(arrays)[8], atol=1e-6)

    def test_it_is_a_module(self, static):
        network = nasfuse.load_network(str(static[0]))
        assert isinstance(network, torch.nn.Module)
        assert sum(one.numel() for one in network.parameters()) > 0
        assert [modality.name for modality in network.modalities] == ["v", "s", "q", "i"]
        with pytest.raises(AttributeError, match="module 'nasfuse' has no attribute 'load_netwrok'"):
            nasfuse.load_netwrok  # noqa: B018

    def test_rows_that_cannot_be_used(self, static):
        network = nasfuse.load_network(static[0])
        table = network.predict_table(with_nan(3))
        whole = network.predict_table(unlabelled())
        assert list(whole) == ["prediction", "probability_ant", "probability_bee", "probability_cat"]
        assert list(table) == [*whole, "problem"]
        assert table["problem"].notna().tolist() == [row == 3 for row in range(60)]
        assert table.iloc[3, :4].isna().all()
        good = table.index != 3
        assert (table.loc[good, "prediction"] == whole.loc[good, "prediction"]).all()
        message = "^1 row cannot be used: row 3, v: it has values that are NaN, infinite or too large; correct or remo"
        for method in (network.predict, network.predict_proba, network):
            with pytest.raises(DataError, match=message):
                method(with_nan(3))
        many = unlabelled() | {"v": np.where(np.arange(60)[:, None] < 59, np.nan, 0.0).repeat(4, axis=1)}
        with pytest.raises(DataError, match=r"^59 rows cannot be used: row 0, .* and 49 more; correct"):
            network.predict(many)

    @pytest.mark.parametrize("value", ["red", 3.5, np.float64(3.5), np.array(3), torch.tensor(3)])
    def test_one_sample_that_is_not_in_a_list(self, static, value):
        network = nasfuse.load_network(static[0])
        with pytest.raises(
            DataError, match=r"^the data must have an array or a list for each name, and v is a single "
        ):
            network.predict(unlabelled() | {"v": value})

    def test_outputs_that_are_not_finite(self, static):
        network = nasfuse.load_network(static[0])
        with torch.no_grad():
            next(network.network.branch.head.parameters()).fill_(torch.nan)
        table = network.predict_table(with_nan(3))
        assert table["prediction"].isna().all()
        assert (table["problem"].drop(3) == "the outputs of the network are not finite").all()
        assert table.loc[3, "problem"].startswith("v: ")

    def test_numbers_of_classes(self, trained):
        arrays = arrays_of() | {"y": np.arange(60) % 2}
        path, _, _ = trained({"route": ["v"], "streams": {"v": stream("mlp")}}, arrays)
        network = nasfuse.load_network(path)
        found = network.predict({"v": arrays["v"]})
        assert found.dtype == np.int64
        assert set(found.tolist()) <= {0, 1}
        assert network.class_names == ("0", "1")
        only_what_it_reads = network.predict_table({"v": np.concatenate([arrays["v"][:2], [[np.nan] * 4]])})
        assert only_what_it_reads["prediction"].tolist() == [*found[:2].tolist(), None]


@pytest.mark.parametrize("kind", ["routed", "sequential"])
class TestRoutes:
    def test_routes_and_steps_of_every_sample(self, kind, request):
        """A table of all routes tells the same routes; a network of one sample tells its steps.

        Rounding depends on the batch, so that a sample whose confidence is at the level may take another route, and
        solvers may need a step more or less.
        """
        path, dataset, measured = request.getfixturevalue(kind)
        n_points = len(measured.points)
        for number in (0, 1, 5, 9, n_points - 1):
            network = read_network(path, point=number, device=CPU).network
            found = outputs_of(network, dataset.train, device=CPU)
            table = tabulate_routes(network, dataset.train, dataset, metric="accuracy", device=CPU)
            expected = table.chosen(float(network.threshold))
            assert int((found.routes != expected).sum()) <= 2, measured.points[number].setting
            torch.testing.assert_close(found.values, predict_logits(network, dataset.train, device=CPU))
            for row in range(0, len(dataset.train), 7):
                batch = dataset.train.batch(torch.tensor([row]), names=network.stream_names)
                with listening(equilibrium_layers(network)) as solves, listening_to_routes(network) as taken:
                    network(batch.inputs, batch.masks)
                n_steps = sum(int(one.solution.n_steps.max()) for one in solves)
                if int(taken[0]) == int(found.routes[row]):
                    assert abs(int(found.n_steps[row]) - n_steps) <= 1

    def test_columns(self, kind, request):
        network = nasfuse.load_network(request.getfixturevalue(kind)[0])
        table = network.predict_table(with_nan(3))
        assert list(table)[-3:] == ["route", "steps", "problem"]
        assert set(table["route"].dropna()) <= set(network.network.route_names)
        assert table["steps"].isna().tolist() == table["route"].isna().tolist() == [row == 3 for row in range(60)]
        assert (table.loc[table["route"] == "v", "steps"] == 0).all()


def test_regression_is_in_the_unit_of_the_data(trained):
    arrays = arrays_of()
    arrays["y"] = 1e9 + arrays["v"][:, 0] * 50
    network = {"route": ["v"], "streams": {"v": {"encoder": "linear"}}}
    path, _, _ = trained(network, arrays, metric="r2", data={"task": "regression"}, training={"epochs": 60, "lr": 0.1})
    loaded = nasfuse.load_network(path)
    found = loaded.predict({"v": arrays["v"]})
    assert found.shape == (60,)
    assert np.corrcoef(found, arrays["y"])[0, 1] > 0.9
    assert abs(np.mean(found - arrays["y"])) < 0.3 * arrays["y"].std()
    assert loaded.class_names == ()
    assert list(loaded.predict_table({"v": arrays["v"]})) == ["prediction"]
    with pytest.raises(InvalidInputError, match=r"predicts numbers \(regression\), not probabilities; use predict$"):
        loaded.predict_proba({"v": arrays["v"]})


def test_labels(trained):
    arrays = arrays_of()
    arrays["y"] = np.stack([np.arange(60) % 2, np.arange(60) % 3 > 0], axis=1).astype(int)
    path, _, _ = trained(
        {"route": ["v"], "streams": {"v": stream("mlp")}}, arrays, metric="macro_f1", data={"task": "multilabel"}
    )
    network = nasfuse.load_network(path)
    found, probabilities = network.predict({"v": arrays["v"]}), network.predict_proba({"v": arrays["v"]})
    assert (found == (probabilities > 0.5)).all()
    names = [f"{what}_{k}" for what in ("prediction", "probability") for k in (0, 1)]
    assert list(network.predict_table({"v": arrays["v"]})) == names


def test_modalities_that_are_not_read_may_be_absent(trained):
    path, _, _ = trained({"route": ["q"], "streams": {"q": stream("mlp")}}, modalities=MODALITIES)
    network = nasfuse.load_network(path)
    assert len(network.predict({"q": arrays_of()["q"]})) == 60
