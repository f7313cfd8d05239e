"""`nasfuse data`: lists and checks data sets."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nasfuse.data import Dataset

data_app = typer.Typer(help="List data sets and check them.", no_args_is_help=True)


@data_app.command("list")
def list_sets(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the shipped data sets and the .npz files in the data folder."""
    from rich.text import Text

    from nasfuse.cli.console import out, print_json
    from nasfuse.data.sources.registry import data_folder
    from nasfuse.spec.data_source import SHIPPED_SOURCES

    folder = data_folder()
    files = sorted(str(path) for path in folder.glob("*.npz"))
    if as_json:
        print_json({"shipped": sorted(SHIPPED_SOURCES), "folder": str(folder), "files": files})
        return
    for name in sorted(SHIPPED_SOURCES):
        out.print(Text.assemble((name, "bold"), "  shipped"))
    for file in files:
        out.print(file, soft_wrap=True)
    if not files:
        hint = f"no .npz files in {folder} (set NASFUSE_DATA to the folder of your data)"
        out.print(hint, style="dim", soft_wrap=True)


@data_app.command("check")
def check(
    source: Annotated[
        str, typer.Argument(help="Name of a shipped data set, a study or recipe file (YAML), or an .npz file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a data set and print its shapes, sizes and warnings.

    For an .npz file, list its arrays, suggest the data block of a study file, and check the file with it.
    """
    from rich.text import Text

    from nasfuse.cli.console import out, print_json
    from nasfuse.data.sources.registry import load_dataset
    from nasfuse.errors import DataWarning
    from nasfuse.spec.data import DataConfig
    from nasfuse.spec.data_source import SHIPPED_SOURCES

    if source.endswith(".npz"):
        _suggest(source, as_json=as_json)
        return
    config = DataConfig(source=source) if source in SHIPPED_SOURCES else _described(Path(source))
    with warnings.catch_warnings(record=True) as noted:
        warnings.filterwarnings("always", category=DataWarning)
        dataset = load_dataset(config)
    document = _document(dataset)
    document["warnings"] = [str(one.message) for one in noted if issubclass(one.category, DataWarning)]
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        for index, line in enumerate(value if isinstance(value, list) else [value]):
            label = name if index == 0 else ""
            out.print(Text.assemble((f"{label:>12}", "dim"), f"  {line}"), soft_wrap=True)
    out.print("in order")


def _described(path: Path) -> Any:
    """Returns the data block of a study or recipe."""
    from nasfuse.spec.ensemble import load_recipe
    from nasfuse.spec.schema.yaml_file import read_document
    from nasfuse.spec.shipped import find_shipped
    from nasfuse.spec.study import StudyConfig

    path = find_shipped(path, folder="studies")
    if "space" in read_document(path).values:
        return StudyConfig.load(path).data
    return load_recipe(path).data


def _document(dataset: "Dataset") -> dict[str, Any]:
    from nasfuse.tasks import task_kind

    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    document: dict[str, Any] = {
        "data": dataset.name,
        "modalities": [str(modality) for modality in dataset.modalities],
        "task": f"{dataset.task.kind}, {dataset.task.n_outputs} outputs",
        "samples": ", ".join(f"{len(part)} {name}" for name, part in parts.items()),
        "fingerprint": dataset.fingerprint,
    }
    return {**document, **task_kind(dataset.task.kind).describe(dataset.train.targets, dataset.task.n_outputs)}


def _suggest(source: str, *, as_json: bool) -> None:
    from nasfuse.cli.console import explain, out, print_json
    from nasfuse.data.sources.npz import read_arrays, suggest_data
    from nasfuse.data.sources.registry import find_file
    from nasfuse.errors import DataError
    from nasfuse.spec.schema.yaml_file import to_yaml

    path = find_file(source)
    arrays = read_arrays(path)
    if not arrays:
        raise DataError(f"{path} holds no arrays; save one per modality and the labels as y")
    block = {"data": {"source": source, **suggest_data(arrays)}}
    problem = _problem_of(block["data"]) if block["data"]["modalities"] else None
    if as_json:
        shapes = {name: {"dtype": str(values.dtype), "shape": values.shape} for name, values in arrays.items()}
        print_json({"arrays": shapes, **block, "problem": problem})
        raise typer.Exit(2 if problem else 0)
    for name, values in arrays.items():
        out.print(f"{name:>16}  {values.dtype} {' x '.join(map(str, values.shape))}", soft_wrap=True)
    out.print("\nSuggested data block; correct the kinds and copy it into the study file:\n")
    print(to_yaml(block), end="")
    other = [name for name in arrays if name not in (*block["data"]["modalities"], "y", "split")]
    if other:
        out.print(
            f"\nNot recognised as modalities: {', '.join(other)} (docs/data.md describes the supported arrays).",
            soft_wrap=True,
        )
    if "y" not in arrays:
        out.print("\nThere is no array y with the labels; name them with data.target.")
    if problem:
        explain(f"{problem} (with the suggested data block)")
        raise typer.Exit(2)


def _problem_of(block: dict[str, Any]) -> str | None:
    """Returns why the data cannot be used as a data block describes them; None if they can."""
    from nasfuse.data.sources.registry import load_dataset
    from nasfuse.errors import NasfuseError
    from nasfuse.spec.data import DataConfig, expand_modalities

    try:
        load_dataset(DataConfig.parse(expand_modalities({"data": block})["data"]))
    except NasfuseError as error:
        return str(error)
    return None
