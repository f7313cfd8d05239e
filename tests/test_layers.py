"""The layers of the package: who may import whom, read from the source of every module."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nasfuse"

LIGHT = ["errors", "seeds", "domain", "spec", "pareto"]
TORCH_SIDE = [*LIGHT, "tasks", "data", "nn", "runtime", "deployment", "cost", "train"]
MAY_IMPORT = {
    "errors": [],
    "seeds": ["errors"],
    "domain": ["errors", "seeds"],
    "spec": ["errors", "seeds", "domain"],
    "pareto": ["errors"],
    "tasks": LIGHT,
    "data": [*LIGHT, "tasks"],
    "nn": [*LIGHT, "tasks", "data"],
    "runtime": ["errors", "domain"],
    "deployment": [*LIGHT, "tasks", "data", "nn", "runtime"],
    "cost": [*LIGHT, "tasks", "data", "nn", "runtime", "deployment"],
    "train": [*LIGHT, "tasks", "data", "nn", "runtime", "deployment", "cost"],
    "search": LIGHT,
    "backends": [*LIGHT, "search"],
    "prediction": TORCH_SIDE,
    "experiment": [*TORCH_SIDE, "prediction", "search", "backends"],
    "report": [*TORCH_SIDE, "prediction", "search", "experiment"],
    "export": [*TORCH_SIDE, "prediction", "search", "experiment"],
    "testing": [*TORCH_SIDE, "prediction", "search", "backends", "experiment", "report", "export"],
    "cli": [*TORCH_SIDE, "prediction", "search", "backends", "experiment", "report", "export"],
    "api": [*TORCH_SIDE, "prediction", "search", "backends", "experiment", "report", "export", "cli"],
    "__init__": ["prediction", "api"],
    "__main__": ["cli"],
}
WITHOUT_TORCH = set(LIGHT)
HEAVY = {"torch", "ray", "optuna", "fvcore", "matplotlib", "sklearn"}


@dataclass(frozen=True)
class Import:
    """One import statement's target.

    Attributes:
        module: Absolute dotted name; for `from a import b` it is a.b, a module or an attribute.
        line: Line in the file.
        at_import_time: Whether it runs when the module is imported (not in a function or for type checkers).
    """

    module: str
    line: int
    at_import_time: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def layer(self) -> str | None:
        """The layer of nasfuse it reaches, None outside the package or for an attribute of its root."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "nasfuse" and len(parts) > 1 and parts[1] in MAY_IMPORT else None


def imports_of(source: str, *, package: str) -> Iterator[Import]:
    """Yields every import in `source`, whose relative imports start from `package`."""
    waiting = [(node, True) for node in ast.parse(source).body]
    while waiting:
        node, at_import_time = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (Import(name.name, node.lineno, at_import_time) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            yield from (Import(f"{base}.{name.name}", node.lineno, at_import_time) for name in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += [(child, False) for child in node.body]
            waiting += [(child, at_import_time) for child in node.orelse]
        else:
            deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            waiting += [(child, at_import_time and not deferred) for child in ast.iter_child_nodes(node)]


def layer_of(path: Path) -> str:
    """The layer a file belongs to: its folder under the package, or its own name directly in the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@cache
def package_imports() -> list[tuple[Path, str, Import]]:
    """Every import of every module: file, its layer and the import."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        package = ".".join(["nasfuse", *path.relative_to(PACKAGE).parent.parts])
        source = path.read_text(encoding="utf-8")
        found += [(path, layer_of(path), one) for one in imports_of(source, package=package)]
    return found


def broken_rules(path: Path, layer: str, one: Import) -> Iterator[str]:
    """Yields the rules that an import in `path` breaks."""
    allowed = [layer, *MAY_IMPORT.get(layer, [])]
    if one.layer is not None and one.layer not in allowed:
        yield f"{layer} may import only {', '.join(allowed)}"
    if layer in WITHOUT_TORCH and one.top == "torch":
        yield f"{layer} must not import torch"
    if layer == "pareto" and one.top not in {"nasfuse", "numpy", *sys.stdlib_module_names}:
        yield "pareto may import only numpy"
    if layer != "testing" and one.top == "pytest":
        yield "pytest is a dependency of testing alone"
    if layer == "cli" and one.at_import_time and one.top in HEAVY:
        yield "cli imports heavy packages inside functions, so that --help is instant"


def test_the_package_was_found():
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    assert {"__init__.py", "errors.py", "pareto/dominance.py"} <= modules
    assert any(one.layer == "errors" for _, layer, one in package_imports() if layer == "pareto")


def test_every_module_belongs_to_a_layer():
    homeless = [path.name for path in PACKAGE.rglob("*.py") if layer_of(path) not in MAY_IMPORT]
    assert not homeless, "name their layer in MAY_IMPORT and in CONTRIBUTING.md"


def test_no_import_goes_up():
    problems = [
        f"{path.relative_to(PACKAGE)}:{one.line} imports {one.module}, but {rule}"
        for path, layer, one in package_imports()
        for rule in broken_rules(path, layer, one)
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("layer", ["", *sorted(WITHOUT_TORCH), "cli"])
def test_importing_a_light_layer_loads_nothing_heavy(layer):
    module = f"nasfuse.{layer}" if layer else "nasfuse"
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


class TestRules:
    """The rules themselves, on small sources."""

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("import torch.nn", ["torch.nn"]),
            ("import torch as t, numpy", ["numpy", "torch"]),
            ("from nasfuse import nn", ["nasfuse.nn"]),
            ("from nasfuse.nn.fusion import Sum", ["nasfuse.nn.fusion.Sum"]),
            ("from . import volume", ["nasfuse.pareto.volume"]),
            ("from .validation import as_costs", ["nasfuse.pareto.validation.as_costs"]),
            ("from .. import nn", ["nasfuse.nn"]),
            ("from ..nn.fusion import Sum", ["nasfuse.nn.fusion.Sum"]),
            ("class A:\n    def f(self):\n        if True:\n            import torch", ["torch"]),
            ("try:\n    import ray\nexcept ImportError:\n    import torch", ["ray", "torch"]),
        ],
    )
    def test_imports_are_found_and_made_absolute(self, source, expected):
        assert sorted(one.module for one in imports_of(source, package="nasfuse.pareto")) == expected

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("import torch", True),
            ("class A:\n    import torch", True),
            ("if True:\n    import torch", True),
            ("with a:\n    import torch", True),
            ("def f():\n    import torch", False),
            ("async def f():\n    import torch", False),
            ("class A:\n    def f(self):\n        import torch", False),
            ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", False),
            ("import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    import torch", True),
        ],
    )
    def test_imports_inside_functions_wait(self, source, expected):
        (one,) = [one for one in imports_of(source, package="nasfuse.cli") if one.top == "torch"]
        assert one.at_import_time is expected

    @pytest.mark.parametrize(
        ("file", "source", "rule"),
        [
            ("data/a.py", "from nasfuse.nn import x", "data may import only data, errors, seeds, domain, spec"),
            ("nn/a.py", "def f():\n    from nasfuse import cost", "nn may import only"),
            ("search/a.py", "from nasfuse.train import fit", "search may import only"),
            ("search/a.py", "import nasfuse.data", "search may import only"),
            ("report/a.py", "import nasfuse.export", "report may import only"),
            ("errors.py", "import nasfuse.seeds", "errors may import only errors"),
            ("__init__.py", "import nasfuse.cli", "__init__ may import only"),
            ("seeds.py", "def f():\n    import torch", "seeds must not import torch"),
            ("spec/a.py", "from torch import nn", "spec must not import torch"),
            ("backends/a.py", "from nasfuse.train import fit", "backends may import only"),
            ("pareto/a.py", "import scipy.stats", "pareto may import only numpy"),
            ("cli/a.py", "import optuna", "inside functions"),
            ("nn/a.py", "import pytest", "pytest is a dependency of testing alone"),
            ("experiment/a.py", "from nasfuse.testing import FusionSuite", "experiment may import only"),
        ],
    )
    def test_a_broken_rule_is_named(self, file, source, rule):
        path = PACKAGE / file
        (one,) = imports_of(source, package="nasfuse")
        assert rule in "; ".join(broken_rules(path, layer_of(path), one))

    @pytest.mark.parametrize(
        ("file", "source"),
        [
            ("train/a.py", "from nasfuse.cost import count"),
            ("cli/a.py", "def f():\n    import torch"),
            ("cli/a.py", "from nasfuse import __version__"),
            ("pareto/a.py", "import math, numpy"),
            ("experiment/a.py", "from nasfuse.search import space"),
            ("nn/a.py", "from nasfuse.nn.routing.router import Router"),
        ],
    )
    def test_an_import_downwards_breaks_nothing(self, file, source):
        path = PACKAGE / file
        for one in imports_of(source, package="nasfuse"):
            assert list(broken_rules(path, layer_of(path), one)) == []


def test_no_module_is_longer_than_450_lines():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert lengths
    assert {str(path): n_lines for path, n_lines in lengths.items() if n_lines > 450} == {}
