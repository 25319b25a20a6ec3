"""The command line: `learnalign COMMAND DIR`. Nothing heavy is imported before the arguments are parsed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .common import DEBUG, VERBOSE, guarded
from .compare import compare
from .config import config
from .doctor import doctor
from .eval import evaluate
from .export import export
from .grad import grad
from .init import init
from .paper import paper
from .plan import plan
from .report import report
from .rollout import rollout
from .run import run
from .select import select
from .show import show
from .signal import signal
from .status import status
from .train import train
from .verify import verify
from .warmup import warmup

# Every command with an example to paste; those on runs/demo work one after the other.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "run": (run, "runs/demo --config demo"),
    "warmup": (warmup, "runs/demo --config demo"),
    "rollout": (rollout, "runs/demo"),
    "grad": (grad, "runs/demo --verify 64"),
    "select": (select, "runs/demo -n 50 --method learnability"),
    "export": (export, "runs/demo --to verl"),
    "signal": (signal, "runs/demo perplexity length angle"),
    "compare": (compare, "runs/demo -n 50"),
    "train": (train, "runs/demo --subset runs/demo/subset.jsonl"),
    "eval": (evaluate, "runs/demo --data demo --k 4"),
    "verify": (verify, "runs/demo --with trl"),
    "report": (report, "runs/demo"),
    "show": (show, "runs/demo --half -n 2"),
    "status": (status, "runs/demo"),
    "doctor": (doctor, "--config demo"),
    "init": (init, "pool.jsonl --model Qwen/Qwen2.5-1.5B-Instruct"),
    "config": (config, "grad.dim"),
    "plan": (plan, "--config dapo-math-17k --rows 17000 --gpus 8"),
    "paper": (paper, "learnalign-table-1 --scale tiny"),
}

# The commands in the order of use, by what they are for.
PANELS = {
    "Begin": ("doctor", "init", "config", "plan"),
    "Choose": ("run", "warmup", "rollout", "grad", "select", "signal"),
    "Look": ("status", "show", "report", "compare"),
    "Use": ("export", "train", "eval", "verify", "paper"),
}


class BareFlags:
    """Shows options that take no value without a type, which others have after their name."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in parameters:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return parameters


class Command(BareFlags, TyperCommand):
    """A command."""


class Commands(BareFlags, TyperGroup):
    """All of them."""


app = typer.Typer(
    name="learnalign",
    cls=Commands,
    help="Pick the N prompts most worth training a language model on with verifiable rewards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for panel, names in PANELS.items():
    for name in names:
        if name in COMMANDS:
            function, example = COMMANDS[name]
            help_of = {"epilog": f"Example: learnalign {name} {example}", "rich_help_panel": panel}
            app.command(name, cls=Command, **help_of)(guarded(function))  # type: ignore[arg-type]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"learnalign {version('learnalign')}")
        raise typer.Exit


@app.callback()
def main_options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks; may stand anywhere.")] = False,
    verbose: Annotated[
        bool, typer.Option(VERBOSE, help="Print every setting with --dry-run; may stand anywhere.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Pick the N prompts most worth training a language model on with verifiable rewards."""


def main() -> None:
    """Entry point of the `learnalign` command."""
    app([argument for argument in sys.argv[1:] if argument not in (DEBUG, VERBOSE)])
