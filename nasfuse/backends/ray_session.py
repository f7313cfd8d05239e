"""Ray for one search: the cluster of the user, or processes of its own on this machine, closed to everybody else."""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nasfuse
from nasfuse.backends.interrupts import Interrupted
from nasfuse.backends.session_folder import session_folder
from nasfuse.backends.session_watch import watching
from nasfuse.errors import NasfuseError

# Read by Ray when it is imported: quiet, no result loggers, no state snapshots, no C++ stack on SIGTERM, a worker
# that runs out of memory dies like any other instead of aborting the experiment, workers get as much of a busy machine
# as other programs (by default they are the last), and start when a trial needs them: a driver would wait forever for
# those that Ray starts in advance, if one of them is killed or takes longer than a minute to start.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
    "RAY_TRAIN_V2_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402 - after its environment
from ray._private import ray_constants, worker  # noqa: E402
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # noqa: E402

from nasfuse.backends.ray_processes import few_processes  # noqa: E402

_STORE_BYTES = 200 * 2**20

_AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Connects to the cluster at `address`, or starts Ray on this machine and stops it afterwards.

    Ray on this machine listens on the loopback interface only, has a token of its own without which no other process
    can use it, and keeps its files in a folder that only this user can enter. A cluster is spoken to in the way that
    the environment says (`RAY_AUTH_MODE`, `RAY_AUTH_TOKEN`, `RAY_AUTH_TOKEN_PATH`).

    Raises:
        InvalidInputError: No folder on this machine can hold Ray's sockets.
        NasfuseError: No cluster answers there, Ray does not start here, or this process uses it already.
        Interrupted: SIGTERM came while Ray started, and this is the main thread.
    """
    if ray.is_initialized():
        raise NasfuseError(
            "this process uses Ray already; call ray.shutdown() first, and give the address of a cluster"
        )
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with _silent(), _cluster(address) if address is not None else _local():
        yield


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps Ray from printing that a worker has died; the driver tries its trial again."""
    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextmanager
def _local() -> Iterator[None]:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with session_folder() as folder, _authentication(token), _loopback_only():
        try:
            _start(folder)
            with watching(_servers()):
                yield
        finally:
            ray.shutdown()


def _start(folder: Path) -> None:
    try:
        with few_processes():
            _init(address="local", include_dashboard=False, object_store_memory=_STORE_BYTES, _temp_dir=str(folder))
    except Exception as error:  # Ray raises many kinds, also Exception itself
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NasfuseError(
            f"Ray has not started on this machine, which may be too busy or short of memory: {reason}; "
            "run the same command again"
        ) from error


def _servers() -> dict[str, Any]:
    """Returns the processes of Ray that everything depends on."""
    started = worker._global_node.all_processes
    names = {"Ray's GCS": ray_constants.PROCESS_TYPE_GCS_SERVER, "Ray's raylet": ray_constants.PROCESS_TYPE_RAYLET}
    return {name: started[kind][0].process for name, kind in names.items()}


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    _answers(address)
    with _authentication({name: os.environ[name] for name in _AUTHENTICATION if name in os.environ}):
        try:
            _connect(address)
            yield
        finally:
            ray.shutdown()


def _connect(address: str) -> None:
    # Nodes run the code of this process, and need only the packages that it imports.
    code = {"py_modules": [str(Path(nasfuse.__file__).parent)], "excludes": ["**/__pycache__"]}
    try:
        _init(address=address, runtime_env=code)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from error


def _init(**arguments: Any) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=True, **arguments)
    except SystemExit as error:  # raised by the handler that Ray sets for SIGTERM
        raise Interrupted(signal.SIGTERM) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _authentication(values: dict[str, str]) -> Iterator[None]:
    """Lets Ray, in this process and in those it starts, authenticate as the environment variables in `values` say."""
    before = {name: os.environ.get(name) for name in _AUTHENTICATION}
    try:
        _set_environment({**dict.fromkeys(_AUTHENTICATION), **values})
        yield
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    Config.initialize("")  # Ray has read the old values when it was imported
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Lets Ray take the loopback address for that of this machine; its processes then listen there only.

    This is Ray's own default on macOS and Windows. A `_node_ip_address` on the loopback interface does not do it: Ray
    replaces 127.0.0.1 by a reachable address, and with any other it listens on all interfaces.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _no_cluster(address: str, error: Exception) -> NasfuseError:
    reason = str(error).splitlines()[0]
    return NasfuseError(
        f"no Ray cluster at {address}: {reason}; start one with `ray start --head`, and set RAY_AUTH_MODE and "
        "RAY_AUTH_TOKEN here as they are set there"
    )


def _answers(address: str) -> None:
    """Raises at once where nobody listens; Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()  # [::1] is an IPv6 address
        except OSError as error:
            raise _no_cluster(address, error) from error


def n_cores() -> int:
    """Returns the cores of the session on this machine."""
    return int(ray.cluster_resources()["CPU"])


def trials_at_a_time(resources: Mapping[str, float], *, cpus_per_trial: int, gpus_per_trial: float) -> int:
    """Returns how many trials fit on a node at a time; 0 where it is too small for one.

    Args:
        resources: Resources of the node, as Ray names them.
        cpus_per_trial: Cores of a trial.
        gpus_per_trial: GPUs of a trial.
    """
    by_cpu = int(resources.get("CPU", 0)) // cpus_per_trial
    if gpus_per_trial <= 0:
        return by_cpu
    n_gpus = int(resources.get("GPU", 0))
    # A fraction is that of a single GPU: three GPUs run three trials of 0.6 at a time, although 3 / 0.6 is 5.
    by_gpu = n_gpus * int(1 / gpus_per_trial) if gpus_per_trial < 1 else int(n_gpus / gpus_per_trial)
    return min(by_cpu, by_gpu)
