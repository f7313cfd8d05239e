"""`nasfuse doctor`: a check of the installation and the machine."""

import os
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

_PACKAGES = ("torch", "optuna", "ray", "fvcore", "scikit-learn", "rich", "pydantic")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check the installed packages, the CPU cores, the GPU, the start of Ray and the data folder."""
    from rich.text import Text

    from nasfuse.cli.console import err, out, print_json, say

    checks: list[dict[str, Any]] = []

    def note(name: str, value: str, *, good: bool = True) -> None:
        checks.append({"check": name, "value": value, "ok": good})

    note("python", sys.version.split()[0], good=sys.version_info >= (3, 11))
    for package in _PACKAGES:
        try:
            note(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            note(package, "missing; install nasfuse again", good=False)
    note("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))
    with err.status("starting torch and Ray ..."):
        note("gpu", _gpu())
        note(*_ray())
    note("data folder", _data_folder())
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            mark = ("ok", "green") if check["ok"] else ("!!", "red")
            say(out, Text.assemble(mark, f"  {check['check']:<14} {check['value']}"))
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)


def _data_folder() -> str:
    from nasfuse.data.sources.registry import data_folder

    folder = data_folder()
    origin = "from NASFUSE_DATA" if os.environ.get("NASFUSE_DATA") else "the default; set NASFUSE_DATA to change it"
    return f"{folder} ({origin}{'' if folder.is_dir() else '; absent, only needed for your own files'})"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none (not needed)"
    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def _ray() -> tuple[str, str]:
    from nasfuse.backends.ray_session import n_cores, ray_session
    from nasfuse.errors import NasfuseError

    try:
        with ray_session(None):
            return "ray session", f"starts; {n_cores()} workers of one core"
    except Exception as error:
        raise NasfuseError(f"Ray does not start on this machine: {error}") from error
