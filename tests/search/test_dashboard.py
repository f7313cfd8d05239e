"""Optuna's dashboard reads the storage of a search that runs."""

import io
import json

import pytest

dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")


@pytest.fixture
def ask(make_run, tmp_path):
    """Returns what the dashboard answers for an address, while a search has the lock of the run."""
    folder = make_run(tmp_path / "run", [(0.5, 100), "it broke", 0.2, None])
    app = dashboard.wsgi(folder.storage_url(folder.read_study()))

    def get(path):
        statuses = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
        }
        body = b"".join(app(environ, lambda status, headers, *_: statuses.append(status)))
        assert statuses[0].startswith("200")
        return json.loads(body)

    with folder.locked():
        yield get


def test_trials_by_state(ask):
    (study,) = ask("/api/studies")["study_summaries"]
    assert study["study_name"] == "small"
    trials = ask(f"/api/studies/{study['study_id']}")["trials"]
    assert [one["state"] for one in trials] == ["Complete", "Fail", "Pruned", "Running"]
    first = trials[0]
    assert [float(value) for value in first["values"]] == [0.5, 2.0], "metric and log10 of the cost"
    assert {one["name"] for one in first["params"]} >= {"network.route"}
    assert {one["key"] for one in first["user_attrs"]} >= {"baseline", "summary"}
