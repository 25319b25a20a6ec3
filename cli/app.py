"""The command line: `learnalign COMMAND DIR`. Nothing heavy is imported before the arguments are parsed."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import guarded
from .compare import compare
from .eval import evaluate
from .grad import grad
from .rollout import rollout
from .run import run
from .select import select
from .signal import signal
from .status import status
from .train import train
from .verify import verify
from .warmup import warmup

app = typer.Typer(
    name="learnalign",
    help="Pick the N prompts most worth training a language model on with verifiable rewards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (run, warmup, grad, rollout, select, signal, train, compare, verify, status):
    app.command()(guarded(command))
app.command("eval")(guarded(evaluate))


@app.callback()
def main_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Pick the N prompts most worth training a language model on with verifiable rewards."""


def main() -> None:
    """Entry point of the `learnalign` command; `--debug` may stand anywhere."""
    import sys

    arguments = sys.argv[1:]
    app([argument for argument in arguments if argument != "--debug"])
