"""`nasfuse evaluate`: evaluation of saved networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nasfuse.cli.device import Device, device_of
from nasfuse.domain.metric import METRICS, metric_text

if TYPE_CHECKING:
    from rich.table import Table

#: What stands for a modality that all samples lack.
_STANDS_IN = {
    "placeholder": "its learned placeholder stands for it",
    "mean": "the mean of the training data stands for it, because the network was trained without missing modalities",
}

#: Largest number of classes of which figures are printed; `--json` has all.
_MOST_SHOWN = 30


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Saved network (model.pt) of `nasfuse train` or a search.")],
    data: Annotated[
        str | None, typer.Option(help="Data with the same modalities, to use instead of the training data.")
    ] = None,
    split: Annotated[
        Literal["val", "test"] | None,
        typer.Option(help="Split of the data to evaluate on. Default: test, or all of other data without splits."),
    ] = None,
    point: Annotated[
        int, typer.Option(min=0, help="Operating point P of a trial shown as N:P; 0 is the setting of its recipe.")
    ] = 0,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Modality that all samples lack, to see what the network does without it. Repeatable."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Column that is no input, such as day, by whose values to show metric and routes. Repeatable."
        ),
    ] = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Evaluate a saved network on the val or test split of its data, or on other data.

    Inputs are standardised with the statistics of the training data, and classes are those of the training. A warning
    is printed if the data differ from the training data.
    """
    from rich.text import Text

    from nasfuse.cli.console import err, out, print_json, print_table, say, warn
    from nasfuse.cli.data_bar import data_bar
    from nasfuse.errors import counted, listed
    from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint

    with data_bar(err):
        result = evaluate_checkpoint(
            checkpoint,
            split=split,
            device=device_of(device),
            source=data,
            point=point,
            without=without or (),
            by=by or (),
        )
    if "warning" in result:
        warn(result["warning"])
    if "unusable_rows" in result:
        rows = result["unusable_rows"]
        numbers = listed(str(row) for row in rows)
        warn(f"{counted(len(rows), 'row')} cannot be used, left out here ({numbers}): {min(rows.items())[1]}")
    if as_json:
        print_json(result)
        return
    value = (metric_text(result["value"]), "bold")
    samples = counted(result["samples"], "sample")
    say(out, Text.assemble(f"{result['split']} {result['metric']} ", value, f" on {samples}"))
    for name in (name for name in METRICS if name in result):
        say(out, f"{name} {metric_text(result[name])}")
    if "calibration_error" in result:
        say(out, f"calibration error (ECE, 15 bins) {metric_text(result['calibration_error'])}")
    for name, what in result.get("without", {}).items():
        say(out, f"without {name}: {_STANDS_IN[what]}")
    if "settings" in result:
        shown = {name: value for name, value in result["settings"].items() if name != "always" or value >= 0}
        say(out, ", ".join(f"{name} {value:.6g}" for name, value in shown.items()))
    for name, share in result.get("routes", {}).items():
        say(out, f"{share:>6.1%} take {name}")
    for column, groups in result.get("by", {}).items():
        print_table(_table([_group_row(column, result["metric"], group) for group in groups]))
    if 1 < len(result["by_class"]) <= _MOST_SHOWN:
        print_table(_table(result["by_class"]))
    if "outside_macs" in result:
        say(out, f"{result['outside_macs']:,} MACs outside of the network, for the features that it reads")
    say(out, f"{result['macs']:,} MACs, recipe {result['recipe_hash']}: {result['summary']}")
    if "macs_note" in result:
        say(out, result["macs_note"])


def _group_row(column: str, metric: str, group: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of the samples with one value of a column as a line of a table."""
    shares = {f"on {name}": f"{share:.1%}" for name, share in group["routes"].items()}
    return {
        "name": f"{column} {group['value']}",
        "samples": group["samples"],
        metric: group["metric"],
        "MACs": f"{group['macs']:,.0f}",
        **shares,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> "Table":
    """Returns the figures of the classes as a table; undefined ones are a dash."""
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column("" if key == "name" else key, justify="left" if key == "name" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_written(value) for value in row.values()))
    return table


def _written(value: Any) -> str:
    if value is None:
        return "-"
    return metric_text(value) if isinstance(value, float) else str(value)
