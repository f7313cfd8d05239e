"""The commands of `nasfuse`, each in its own file."""

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from nasfuse.cli.compare import compare
from nasfuse.cli.data import data_app
from nasfuse.cli.doctor import doctor
from nasfuse.cli.evaluate import evaluate
from nasfuse.cli.export import export
from nasfuse.cli.init import init
from nasfuse.cli.latency import latency
from nasfuse.cli.pareto import pareto
from nasfuse.cli.predict import predict
from nasfuse.cli.report import report
from nasfuse.cli.search import search
from nasfuse.cli.status import status
from nasfuse.cli.train import train

app = typer.Typer(
    name="nasfuse",
    help="Find the multimodal fusion network with the most accuracy for the compute you can afford.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from nasfuse import __version__

        typer.echo(f"nasfuse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _register(verb: Callable[..., None]) -> None:
    """Adds a verb, whose help is wrapped for the terminal and not where its docstring is."""
    paragraphs = (inspect.getdoc(verb) or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(one.split()) for one in paragraphs))(verb)


for _verb in (init, search, status, pareto, compare, report, export, latency, train, evaluate, predict, doctor):
    _register(_verb)
app.add_typer(data_app, name="data")
