"""`nasfuse data`: lists and checks data sets."""

import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nasfuse.data.raw_table import RawTable
    from nasfuse.spec.data import DataConfig

#: Most classes whose names and sizes are printed.
_MOST_CLASSES = 20

data_app = typer.Typer(help="List data sets and check them.", no_args_is_help=True)


@data_app.command("list")
def list_sets(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the data sets of the shipped studies, whether their files were found, and the files in the data folder."""
    from rich.text import Text

    from nasfuse.cli.console import out, print_json, say
    from nasfuse.data.published import published_files
    from nasfuse.data.sources.registry import READERS, data_folder
    from nasfuse.spec.data_source import SHIPPED_SOURCES

    folder = data_folder()
    files = sorted(str(path) for path in folder.glob("*") if path.suffix.lower() in READERS)
    published = published_files()
    if as_json:
        rows = [
            {
                "source": one.source,
                "studies": list(one.studies),
                "found": None if one.found is None else str(one.found),
                "contents": one.file.contents,
                "origin": one.file.origin,
            }
            for one in published
        ]
        print_json({"shipped": sorted(SHIPPED_SOURCES), "folder": str(folder), "files": files, "published": rows})
        return
    for name in sorted(SHIPPED_SOURCES):
        out.print(Text.assemble((name, "bold"), "  shipped"))
    for one in published:
        where = f"found: {one.found}" if one.found else f"not found in {' or '.join(map(str, one.places))}"
        of = f"{'study' if len(one.studies) == 1 else 'studies'} {', '.join(one.studies)}"
        say(out, Text.assemble((one.source, "bold"), f"  {of}  {where}"))
        if not one.found:
            say(out, Text(f"    {one.file.contents}\n    origin: {one.file.origin}", "dim"))
    for file in files:
        if file not in {str(one.found) for one in published}:
            say(out, file)
    if not files:
        hint = f"no data files in {folder} (set NASFUSE_DATA to the folder of your data)"
        say(out, hint, style="dim")


@data_app.command("check")
def check(
    source: Annotated[
        str,
        typer.Argument(
            help="Name of a shipped data set, a study or recipe file (YAML), or data: a table, arrays, a folder or "
            "file.py:function."
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="Target of data without a study; repeat it for several numbers or labels. Default: target, label, "
            "class or y.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a data set: shapes, classes, missing values, duplicates, leaks, and what plain models score.

    For data without a study, list the arrays or columns, suggest the data block of a study, and check the data with it.
    """
    from rich.text import Text

    from nasfuse.cli.console import err, explain, print_json
    from nasfuse.cli.data_bar import data_bar
    from nasfuse.data.sources.registry import load_raw
    from nasfuse.errors import DataError, DataWarning
    from nasfuse.spec.data import DataConfig
    from nasfuse.spec.data_source import SHIPPED_SOURCES

    is_study = source.endswith((".yaml", ".yml")) or not _is_data(source)
    document: dict[str, Any] = {}
    raw: RawTable | None = None
    noted: list[warnings.WarningMessage] = []
    if source in SHIPPED_SOURCES:
        config, metric = DataConfig(source=source), None
    elif is_study:
        config, metric = _described(Path(source))
    else:
        with err.status(Text(f"reading {source} ...")), warnings.catch_warnings(record=True) as noted:
            warnings.filterwarnings("always", category=DataWarning)
            raw = load_raw(source)
        document, found = _suggest(raw, source, target=target, as_json=as_json)
        if found is None:
            if as_json:
                print_json(document)
            return
        config, metric = found, None
    try:
        with err.status(Text(f"checking {source} ...")), data_bar(err):
            document = {**_document(config, raw, noted, metric=metric), **document}
    except DataError as error:
        if "arrays" not in document:
            raise
        document["problem"] = str(error)
    if as_json:
        print_json(document)
    else:
        _print(document)
    if document.get("problem"):
        if not as_json:
            explain(f"{document['problem']} (with the suggested data block)")
        raise typer.Exit(DataError.exit_code)


def _is_data(source: str) -> bool:
    """Returns whether `source` names data, and no study or recipe."""
    from nasfuse.data.sources.registry import READERS, find_file
    from nasfuse.errors import MissingFileError
    from nasfuse.spec.data_source import is_function

    if is_function(source) or Path(source).suffix.lower() in READERS:
        return True
    try:
        return find_file(source).exists()
    except MissingFileError:
        return False


def _described(path: Path) -> tuple["DataConfig", str]:
    """Returns the data block and the metric of a study or recipe."""
    from nasfuse.spec.ensemble import load_recipe
    from nasfuse.spec.schema.yaml_file import read_document
    from nasfuse.spec.shipped import find_shipped
    from nasfuse.spec.study import StudyConfig

    path = find_shipped(path, folder="studies")
    described = StudyConfig.load(path) if "space" in read_document(path).values else load_recipe(path)
    return described.data, described.metric


def _document(
    config: "DataConfig", raw: "RawTable | None", noted: list[warnings.WarningMessage], *, metric: str | None
) -> dict[str, Any]:
    """Returns what is known about a data set, and its problems.

    Args:
        config: Description of the data set.
        raw: Its columns or arrays; None reads them.
        noted: Warnings of reading them.
        metric: Metric of the study; None chooses one of the task.
    """
    from nasfuse.data import described_table, load_table
    from nasfuse.data.audit import audit
    from nasfuse.data.label_audit import label_facts
    from nasfuse.data.sources.registry import divided, load_raw
    from nasfuse.data.validation_classes import check_validation_classes
    from nasfuse.domain.metric import METRICS
    from nasfuse.errors import DataWarning, MissingValuesWarning, counted
    from nasfuse.experiment.plain_models import plain_scores
    from nasfuse.spec.data_source import SHIPPED_SOURCES
    from nasfuse.tasks import task_kind

    with warnings.catch_warnings(record=True) as more:
        warnings.filterwarnings("always", category=DataWarning)
        if raw is None and config.source not in SHIPPED_SOURCES:
            raw = load_raw(config.source)
        table = load_table(config) if raw is None else described_table(raw, config)
        dataset_of = cache(lambda number: divided(table, config, division=number))
        check_validation_classes(dataset_of, config)
        dataset = dataset_of(0)
    noted = [*noted, *more]
    told_missing = {one.message.modality for one in noted if isinstance(one.message, MissingValuesWarning)}
    task = dataset.task
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    metric = metric or next(name for name, one in METRICS.items() if task.kind in one.tasks)
    document: dict[str, Any] = {
        "data": dataset.name,
        "modalities": [str(modality) for modality in dataset.modalities],
        "task": f"{task.kind}, {counted(task.n_outputs, 'output')}",
        "samples": ", ".join(f"{len(part)} {name}" for name, part in parts.items()),
        "fingerprint": dataset.fingerprint,
        **task_kind(task.kind).describe(dataset.train.targets, task.n_outputs),
    }
    if task.size is not None:
        document |= label_facts(dataset)
    if dataset.class_names and dataset.train.targets.dim() == 1:
        counts = dataset.train.targets.bincount(minlength=task.n_outputs).tolist()
        sizes = [f"{name} {count}" for name, count in zip(dataset.class_names, counts, strict=True)][:_MOST_CLASSES]
        document["class sizes"] = ", ".join(sizes) + ", ..." * (len(sizes) < task.n_outputs)
    if dataset.train.groups is not None:
        document["groups"] = f"{len(set(dataset.train.groups.tolist()))} in train"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # those of the data set, which are listed
        scores = plain_scores(dataset_of, config, metric=metric)
    return {
        **document,
        "warnings": list(dict.fromkeys(str(one.message) for one in noted if issubclass(one.category, DataWarning))),
        "findings": audit(dataset, raw=raw, config=config, metric=metric, told_missing=told_missing),
        "metric": metric,
        "scores": {name: round(scores.mean(name), 6) for name in ("constant", "linear")},
        "divisions": len(scores.linear),
    }


def _print(document: dict[str, Any]) -> None:
    from nasfuse.cli.console import out, print_labelled, say
    from nasfuse.domain.metric import metric_text

    if "samples" not in document:  # the data could not be loaded
        return
    lines = []
    for name, value in document.items():
        if name in ("arrays", "problem", "metric", "scores", "divisions") or isinstance(value, dict):
            continue
        for index, line in enumerate(value if isinstance(value, list) else [value]):
            lines.append((name if index == 0 else "", str(line)))
    scores = document["scores"]
    text = f"constant prediction {metric_text(scores['constant'])}, linear model {metric_text(scores['linear'])}"
    where = "validation" if document["divisions"] == 1 else f"validation, mean of {document['divisions']} divisions"
    print_labelled(out, [*lines, (document["metric"], f"{text} ({where})")], width=12)
    say(out, "in order" if not document["findings"] + document["warnings"] else "usable; see the lines above")


def _suggest(
    raw: "RawTable", source: str, *, target: list[str] | None, as_json: bool
) -> tuple[dict[str, Any], "DataConfig | None"]:
    """Lists arrays or columns and prints a suggested data block; None instead of it if there is no target."""
    from nasfuse.cli.console import out, say
    from nasfuse.data.draft import draft_data, find_target
    from nasfuse.errors import DataError
    from nasfuse.spec.data import DataConfig, expand_modalities
    from nasfuse.spec.schema.yaml_file import to_yaml

    if not raw.columns:
        raise DataError(f"{raw.folder / raw.origin} holds no arrays; save one per modality and the labels as y")
    shapes = {name: {"dtype": str(values.dtype), "shape": values.shape} for name, values in raw.columns.items()}
    if not as_json:
        for name, values in raw.columns.items():
            what = "text or lists" if values.dtype.kind == "O" else str(values.dtype)
            say(out, f"{name:>16}  {what} {' x '.join(map(str, values.shape))}")
    try:
        target = target or [find_target(raw)]
    except DataError as error:
        if not as_json:
            say(out, f"\n{error}")
        return {"arrays": shapes, "data": {"source": source, "modalities": {}}, "problem": None}, None
    draft = draft_data(raw, target=target)
    block: dict[str, Any] = {"source": source, "modalities": draft.modalities}
    for key in ("aligned", "target", "task", "classes", "void", "metadata", "split", "group"):
        value = getattr(draft, key)
        if value is not None and value != DataConfig.model_fields[key].default:
            block[key] = list(value) if isinstance(value, tuple) else value
    if not as_json:
        say(out, "\nSuggested data block; correct the kinds and copy it into the study file (or run `nasfuse init`):\n")
        print(to_yaml({"data": block}), end="")
        for name, reason in draft.left_out.items():
            say(out, f"left out: {name}: {reason}")
        out.print()
    document = {"arrays": shapes, "data": block, "problem": None}
    return document, DataConfig.parse(expand_modalities({"data": block})["data"])
