"""Machines for tests: network namespaces of Linux that reach each other only, with a node of Ray in each."""

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Why tests that need these machines are skipped: several nodes of Ray on two cores take minutes.
NEEDS = "`make test-machines` runs it; namespaces need root, `ip`, `nsenter` and `unshare`"

PORT = 6379


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def can_make_machines():
    """Returns whether these tests are wanted, and this process may create network namespaces."""
    if not os.environ.get("NASFUSE_TEST_MACHINES"):
        return False
    name = f"nf-{secrets.token_hex(3)}"
    try:
        ip("netns", "add", name)
        subprocess.run(["nsenter", f"--net=/run/netns/{name}", "unshare", "--mount", "true"], check=True)
        ip("netns", "delete", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def command_line(pid):
    """Returns the command line of a process, empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Machine:
    """A network namespace whose processes can be killed together.

    Attributes:
        address: Its IP address.
    """

    def __init__(self, name, address):
        self._name = name
        self.address = address

    def start(self, command, **options):
        """Returns a process that runs there."""
        # Not by `ip netns exec`, which gives it a namespace of mounts of its own.
        net = f"--net=/run/netns/{self._name}"
        return subprocess.Popen(["nsenter", net, *command], start_new_session=True, **options)

    def has_process(self, name):
        """Returns whether a process runs there whose command line contains `name`."""
        pids = ip("netns", "pids", self._name).split()
        return any(name.encode() in command_line(pid) for pid in pids)

    def kill(self):
        """Kills all its processes at once, until none is left."""
        while pids := ip("netns", "pids", self._name).split():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.05)


class Network:
    """Machines on one bridge. The first is the head of a Ray cluster with a token."""

    def __init__(self):
        self._prefix = f"nf-{secrets.token_hex(3)}"
        self._machines = []
        self._folder = tempfile.TemporaryDirectory(prefix="n", dir="/tmp")  # short, for Ray's sockets
        token = Path(self._folder.name) / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_prestart_worker_first_driver": "0",
            "RAY_enable_worker_prestart": "0",
            "RAY_worker_niceness": "0",
        }

    def add(self, *, n_cpus, n_gpus=0, mount=(), modules=()):
        """Returns a new machine with a node of Ray.

        Args:
            n_cpus: Cores of the node.
            n_gpus: GPUs that the node says it has.
            mount: Arguments of `mount`, whose effect only this machine sees.
            modules: Folders of modules that come first there.
        """
        number = len(self._machines) + 1
        machine = Machine(f"{self._prefix}-{number}", f"10.77.0.{number}")
        self._machines.append(machine)
        self._connect(machine, number)
        ray = str(Path(sys.executable).with_name("ray"))
        head = self._machines[0]
        role = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={self._folder.name}/r"]
        role = role if machine is head else [f"--address={head.address}:{PORT}"]
        options = [f"--node-ip-address={machine.address}", f"--num-cpus={n_cpus}", f"--num-gpus={n_gpus}"]
        options += ["--object-store-memory=80000000"]
        command = [ray, "start", *role, *options, "--block", "--disable-usage-stats"]
        # A node of Ray gives up if its agents take long to start, as they do on a busy machine.
        first = f"mount {shlex.join(map(str, mount))} || exit; " if mount else ""
        again = ["unshare", "--mount", "sh", "-c", f'{first}while :; do "$@"; sleep 1; done', "sh", *command]
        environment = {**self.environment, "PYTHONPATH": os.pathsep.join(map(str, modules))}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        machine.start(again, env=environment, **quiet)
        return machine

    def _connect(self, machine, number):
        name, first = machine._name, self._machines[0]._name
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        if number == 1:
            ip("-n", name, "link", "add", "bridge", "type", "bridge")
            ip("-n", name, "link", "set", "bridge", "up")
            ip("-n", name, "address", "add", f"{machine.address}/24", "dev", "bridge")
            return
        ip("-n", first, "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth", "netns", name)
        ip("-n", first, "link", "set", f"to{number}", "master", "bridge", "up")
        ip("-n", name, "address", "add", f"{machine.address}/24", "dev", "eth")
        ip("-n", name, "link", "set", "eth", "up")

    def close(self):
        for machine in self._machines:
            machine.kill()
            ip("netns", "delete", machine._name)
        self._folder.cleanup()


@contextlib.contextmanager
def network():
    """Yields a network without machines, and removes it with all that runs in it."""
    made = Network()
    try:
        yield made
    finally:
        made.close()
