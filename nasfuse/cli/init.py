"""`nasfuse init`: a first study for a data set."""

import warnings
from pathlib import Path
from typing import Annotated

import typer


def init(
    data: Annotated[
        str,
        typer.Argument(
            help="A table (.csv, .tsv, .parquet, .feather, .jsonl), arrays (.npz, .h5), a folder with a table, of "
            "images by class or of .npy files, or file.py:function."
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="Column of the target; repeat it for several numbers or labels. Default: target, label, class or y.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Study file. Default: NAME.yaml.")] = None,
    overwrite: Annotated[bool, typer.Option("--force", help="Overwrite the study file.")] = False,
) -> None:
    """Look at a data set and write a commented study that searches networks for it."""
    from rich.text import Text

    from nasfuse.cli.console import command_line, err, explain, out, warn
    from nasfuse.cli.data_bar import data_bar
    from nasfuse.data import described_table
    from nasfuse.data.draft import draft_data
    from nasfuse.data.sources.registry import divided, load_raw
    from nasfuse.data.spellings import spelling_findings
    from nasfuse.data.validation_classes import check_validation_classes
    from nasfuse.errors import DataError, DataWarning, InvalidInputError, NasfuseError, UndividedClassesWarning
    from nasfuse.experiment.study_draft import study_name, study_text
    from nasfuse.spec.data_source import SHIPPED_SOURCES
    from nasfuse.spec.study import StudyConfig

    if data in SHIPPED_SOURCES:
        raise InvalidInputError(f"{data} is a shipped data set with a study of its own: nasfuse search {data}")
    with err.status(Text(f"looking at {data} ...")), data_bar(err):
        raw = load_raw(data)
        draft = draft_data(raw, target=target or None)
        name = study_name(raw)
        file = Path(f"{name}.yaml") if output is None else output
        if file.exists() and not overwrite:
            raise InvalidInputError(f"{file} exists; name another file with -o, or overwrite it with --force")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(study_text(raw, draft, name=name, source=_source(data, file)), encoding="utf-8")
        problem = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # `nasfuse data check` tells them
                warnings.filterwarnings("always", category=UndividedClassesWarning)
                config = StudyConfig.load(file).data
                for finding in spelling_findings(raw, config):
                    warn(finding)
                table = described_table(raw, config)
                check_validation_classes(lambda number: divided(table, config, division=number), config)
        except DataError as error:
            problem = error
        except NasfuseError:
            file.unlink()
            raise
    print(file.read_text(encoding="utf-8"), end="")
    out.print(
        f"\nWritten to {file}. Read it, then run:\n"
        f"  {command_line('data', 'check', file)}  # missing values, leaks, linear model\n"
        f"  {command_line('search', file)}",
        soft_wrap=True,
    )
    if problem is not None:
        explain(f"the data cannot be used yet; correct them, {file} can stay as it is: {problem}")
        raise typer.Exit(problem.exit_code)


def _source(data: str, study: Path) -> str:
    """Returns `data` as the study file is to name it: relative to the working folder only if both lie there."""
    place, colon, function = data.rpartition(":") if data.endswith(".py") or ".py:" in data else (data, "", "")
    path = Path(place)
    if not path.exists() or study.parent == Path():
        return data
    return f"{path.absolute()}{colon}{function}"
