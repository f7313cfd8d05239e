"""Every package that nasfuse imports is declared in pyproject.toml, with a comment and a tested version."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement):
    return canonical(re.split(r"[\[<>=!~; ]", requirement)[0])


DECLARED = {name_of(one) for one in tomllib.loads(PYPROJECT)["project"]["dependencies"]}
EXTRAS = tomllib.loads(PYPROJECT)["project"]["optional-dependencies"]
#: Extras whose packages a part of nasfuse may import.
OF_FOLDER = {"nasfuse/testing/": "testing", "nasfuse/deployment/": "onnx", "nasfuse/runtime/": "onnx"}
DEVELOPMENT = {name_of(one) for one in EXTRAS["dev"]}


@cache
def imported_packages():
    """Top-level package to the first file that imports it, anywhere in the file."""
    found = {}
    for path in sorted((ROOT / "nasfuse").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                found.setdefault(name.split(".")[0], path.relative_to(ROOT).as_posix())
    return {name: file for name, file in found.items() if name not in {"nasfuse", *sys.stdlib_module_names}}


def distributions_of(package):
    return {canonical(name) for name in installed_packages().get(package, [package])}


@cache
def installed_packages():
    return packages_distributions()


def test_imports_were_found():
    assert {"torch", "yaml", "sklearn", "typer"} <= imported_packages().keys()


def test_every_import_is_a_declared_dependency():
    """All packages in one test: to read them takes a second, and every process collects the parameters of tests."""
    undeclared = {}
    for package, file in imported_packages().items():
        extras = [extra for folder, extra in OF_FOLDER.items() if file.startswith(folder)]
        declared = DECLARED.union(*({name_of(one) for one in EXTRAS[extra]} for extra in extras))
        if not distributions_of(package) & declared:
            undeclared[package] = file
    assert not undeclared, "declare them in pyproject.toml"


def test_every_declared_dependency_is_imported():
    used = set().union(*(distributions_of(package) for package in imported_packages()))
    assert used >= DECLARED


@pytest.mark.parametrize("name", sorted(DECLARED | DEVELOPMENT))
def test_every_dependency_has_a_tested_version_and_a_comment(name):
    tested = {name_of(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line}
    assert name in tested
    lines = [one for one in PYPROJECT.splitlines() if re.match(r'    "', one) and name_of(one.strip(' "')) == name]
    assert lines
    assert all(" # " in line for line in lines)
