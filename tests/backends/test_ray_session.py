"""A local Ray session is closed to everybody else; the environment is left as it was."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nasfuse.backends.ray_session import ray, ray_session
from nasfuse.errors import NasfuseError
from tests.forked import forked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")

#: Another program on this machine that tries to run code in the session; it gives up soon.
OUTSIDER = """
import logging, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
print(ray.get(ray.remote(lambda: "it ran").remote()))
"""


#: Read by every Python that starts: the first worker of Ray goes on after minutes, as on a machine that is too busy.
SLOW_WORKER = """
import os, sys, time
if any("default_worker" in one for one in sys.orig_argv):
    try:
        os.mkdir(os.environ["NASFUSE_SLOW_WORKER"])
    except FileExistsError:
        pass
    else:
        time.sleep(600)
"""


def authentication():
    return {name: os.environ.get(name) for name in NAMES}


@pytest.fixture(scope="module")
def environment():
    """Settings of the user that a session of its own must neither use nor lose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_AUTH_TOKEN_PATH", "/absent/token")
        patch.delenv("RAY_AUTH_TOKEN", raising=False)
        yield authentication()


@pytest.fixture(scope="module")
def token(environment):
    """The token of a session that runs while the tests do."""
    before = signal.getsignal(signal.SIGTERM)
    with ray_session(None):
        assert signal.getsignal(signal.SIGTERM) is before, "Ray sets a handler of its own, with another exit code"
        ray.get(ray.remote(lambda: None).remote())  # a worker, which listens too
        yield os.environ["RAY_AUTH_TOKEN"]
    assert authentication() == environment


@pytest.fixture(scope="module")
def processes(token):
    """This process and all of Ray's."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found if Path(f"/proc/{pid}").exists()}
    assert {name for name in (b"gcs_server", b"raylet", b"ray::") for line in lines.values() if name in line} == {
        b"gcs_server",
        b"raylet",
        b"ray::",
    }
    return lines


@pytest.mark.parametrize("error", [Exception("The current node timed out\nduring startup."), ConnectionError()])
def test_a_ray_that_does_not_start_is_one_sentence_and_leaves_nothing(monkeypatch, environment, error):
    assert not ray.is_initialized(), "the session of the other tests would be closed; this test comes before them"

    def fail(**_):
        raise error

    monkeypatch.setattr(ray, "init", fail)
    reason = "The current node timed out; run" if str(error) else "ConnectionError; run"
    with pytest.raises(NasfuseError, match=f"Ray has not started on this machine.*: {reason}"), ray_session(None):
        pass
    assert authentication() == environment


def test_no_process_is_started_that_one_machine_does_not_need(processes):
    """Ray's own methods are replaced for that; where Ray has others, this test says so."""
    for name in (b"autoscaler", b"log_monitor.py", b"dashboard/dashboard.py", b"Agent", b"agent.py", b"agent/main.py"):
        assert not [line for line in processes.values() if name in line]


def session_root():
    return Path(ray._private.worker._global_node.get_session_dir_path()).parents[1]


def test_every_process_listens_on_loopback_only(processes):
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    own = [line.split() for line in listening if any(f"pid={pid}," in line for pid in processes)]
    assert len(own) >= 5, "this process, the GCS, the raylet and a worker"
    addresses = {fields[3].rpartition(":")[0].strip("[]") for fields in own}
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_the_folder_is_private():
    assert stat.S_IMODE(session_root().stat().st_mode) == 0o700


def test_the_token_is_on_no_command_line_and_in_no_file(processes, token):
    assert len(token) >= 32
    assert not any(token.encode() in line for line in processes.values())
    files = [path for path in session_root().rglob("*") if path.is_file()]
    assert files
    assert not any(token.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("mode", "given", "runs"),
    [({}, None, False), ({"RAY_AUTH_MODE": "token"}, "0" * 64, False), ({"RAY_AUTH_MODE": "token"}, "the", True)],
    ids=["without", "another", "the token"],
)
def test_code_of_another_process_runs_with_the_token_only(token, tmp_path, mode, given, runs):
    environment = {key: value for key, value in os.environ.items() if key not in NAMES}
    environment |= {**mode, "HOME": str(tmp_path), "RAY_NUM_REDIS_GET_RETRIES": "1"}
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or Ray takes 127.0.0.1 for another address
    if given is not None:
        environment["RAY_AUTH_TOKEN"] = token if given == "the" else given
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", OUTSIDER, address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ("it ran" in done.stdout, done.returncode == 0) == (runs, runs), done.stderr
    if not runs:
        assert "authentication" in done.stderr.lower()


def run_a_task():
    """Prints the result of a task in a session of Ray."""
    with ray_session(None):
        print(ray.get(ray.remote(lambda: "it ran").remote(), timeout=200))


def test_a_worker_that_does_not_start_in_time_is_replaced(tmp_path):
    """Ray would let its driver wait forever for a worker that it starts in advance."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_WORKER)
    environment = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        "NASFUSE_SLOW_WORKER": str(tmp_path / "slow"),
        "RAY_worker_register_timeout_seconds": "20",
    }
    with forked(run_a_task, environment=environment) as process:
        printed, errors = process.communicate(timeout=250)
    assert (tmp_path / "slow").is_dir()
    assert printed == "it ran\n", errors
