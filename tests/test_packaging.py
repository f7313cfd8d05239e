"""What a user gets: the names in the wheel and in the sdist, built without the network."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
YAML_FOLDERS = ("search_spaces", "studies")
# The names that the root of the repository keeps.
KEPT = (
    "nasfuse", "tests", "benchmarks", "docs", *YAML_FOLDERS,
    "cli.py", "pyproject.toml", "constraints.txt", "Makefile", ".gitignore",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the source, with one file in each YAML folder that must not reach a user."""
    copy = tmp_path_factory.mktemp("source") / "nasfuse"
    for name in KEPT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for folder in YAML_FOLDERS:
        (copy / folder).mkdir(exist_ok=True)
        (copy / folder / "notes.txt").write_text("not a YAML file")
    (copy / "runs" / "digits").mkdir(parents=True)
    (copy / "runs" / "digits" / "study.yaml").write_text("name: digits")
    return copy


def build(source, kind, out):
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_names(wheel):
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    return build(source, "sdist", tmp_path_factory.mktemp("sdist"))


def shipped_yaml():
    return {f"{folder}/{path.name}" for folder in YAML_FOLDERS for path in (ROOT / folder).glob("*.yaml")}


def test_wheel_is_pure_python(wheel):
    assert wheel.name.startswith("nasfuse-")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_wheel_installs_one_package_and_its_metadata(wheel_names):
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nasfuse"}
    assert len(tops) == 2


def test_wheel_holds_every_module_and_the_typing_marker(wheel_names):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nasfuse").rglob("*.py")}
    assert "nasfuse/errors.py" in modules
    assert modules | {"nasfuse/py.typed"} <= wheel_names


def test_wheel_holds_the_templates_of_reports(wheel_names):
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nasfuse").rglob("templates/*")}
    assert "nasfuse/report/templates/report.html" in templates
    assert templates <= wheel_names


def test_wheel_carries_the_yaml_folders_inside_the_package(wheel_names):
    inside = {name for name in wheel_names if name.startswith(("nasfuse/search_spaces/", "nasfuse/studies/"))}
    assert inside == {f"nasfuse/{name}" for name in shipped_yaml()}


def test_wheel_carries_licence_and_command(wheel):
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
        assert "nasfuse = nasfuse.cli:main" in archive.read(entry_points).decode()


def test_sdist_holds_source_and_tests_but_no_runs(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "cli.py", "nasfuse/errors.py", "tests/test_packaging.py"} <= names
    assert shipped_yaml() <= names
    assert not [name for name in names if name.startswith("runs")]


def test_wheel_from_the_sdist_is_the_same(sdist, wheel_names, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with ZipFile(build(unpacked, "wheel", tmp_path / "out")) as archive:
        assert set(archive.namelist()) == wheel_names
