"""What every command shares: opening the run directory, common options, errors without traceback, results."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign import processes
from learnalign.errors import InputError, LearnAlignError, Unfinished, counted, one_line, short
from learnalign.stdout import as_result, for_result_alone

from .remote import by_url, directory_of
from .stopping import arrived

if TYPE_CHECKING:
    from learnalign.config import Config
    from learnalign.rundir import RunDir
    from learnalign.rundir import Slice as Part

DEBUG, VERBOSE = "--debug", "--verbose"
TOGETHER = ("warmup", "train")  # the commands that several processes may run

Dir = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="Run directory, here or by URL: s3://bucket/run.",
        show_default=False,
        parser=directory_of,
    ),
]
ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="YAML file, or the name of a ready config.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. grad.dim=4096; repeatable."),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace results of other settings, or else this stage's, once the new ones are whole."
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run the code that DIR/config.yaml names, if somebody else made DIR; remembered."),
]
Anyway = Annotated[
    bool,
    typer.Option("--anyway", help="Go on though golds look like solutions, or p is nearly 0 or 1, or most is cut off."),
]
Slice = Annotated[
    str | None,
    typer.Option(
        "--slice",
        metavar="I/K",
        help="Do one of K parts of the work, I from 1 to K; the processes of the others share DIR.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and show the work: rows, time, tokens, disk; write nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]


def as_size(given: str | float | None) -> float | None:
    """What `-n` gives, as a number; raises InputError in the words of the setting select.size."""
    from learnalign.config.keys import type_of

    if given is None:
        return None
    with contextlib.suppress(ValueError):
        size = float(given)
        if 0 < size < 1 or (size >= 1 and size.is_integer() and str(given) != "1.0"):  # which may mean one or all
            return size
    raise InputError(f"-n: got {short(given)}, but it should be {type_of('select.size')}, for a fraction of the pool")


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """`function` with errors as one message and an exit code: 1 failed, 2 wrong use. Signals are left to `stopping`."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            with for_result_alone() if kwargs.get("as_json") else contextlib.nullcontext():
                _start(by_url(function), *args, **kwargs)
        except Unfinished as ended:
            print_json(ended.state) if kwargs.get("as_json") else print(ended)
        except LearnAlignError as error:
            _stop(str(error), error.exit_code, error)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to be flushed goes nowhere
            raise SystemExit(1) from None
        except OSError as error:
            _stop(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1, error)
        except MemoryError as error:
            _stop("out of memory; use smaller batches (grad.batch_tokens) or a smaller model", 1, error)
        except Exception as error:
            _stop(_bug(error), 1, error)

    return command


def _start(function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Run a command; under `accelerate launch`, process 0 does, and the others take part in its training."""
    if processes.count() == 1:
        function(*args, **kwargs)
    elif processes.rank():
        from learnalign.training.followers import follow

        follow()
    else:
        try:
            if function.__name__ not in TOGETHER:
                raise InputError(
                    f"accelerate launch is for {' and '.join(TOGETHER)} alone; start `learnalign {function.__name__}` without it, "
                    "after them"
                )
            function(*args, **kwargs)
        finally:
            with contextlib.suppress(RuntimeError):  # the launcher has ended
                processes.announce(None)


def _bug(error: Exception) -> str:
    """What to say of an error that nobody expected."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"this is a bug in learnalign: {type(error).__name__}: {one_line(error, 300)} ({place.filename}:{place.lineno}); run the "
        f"same command with {DEBUG} for the traceback, and report it"
    )


def debugging() -> bool:
    """Whether the user wants tracebacks."""
    return DEBUG in sys.argv


def _stop(message: str, code: int, error: BaseException) -> None:
    if debugging() or arrived():  # what fails while a signal is answered is no error of its own
        raise error
    if processes.is_first_to_fail():
        print(f"learnalign: {message}", file=sys.stderr)
    raise SystemExit(code)


def resolve_config(directory: Path, config: str | None, overrides: list[str] | None, trust: bool = False) -> Config:
    """The settings of a command: `--config`, else the run directory's own, with `--set` applied.

    Code that they name must be named by this command, or trusted by `trust` or before.
    """
    from learnalign.config import load_config
    from learnalign.rundir import check_config, check_trust, no_run

    own = directory / "config.yaml"
    if config is None:
        if not own.is_file() and not (directory / "run.json").is_file():
            raise InputError(no_run(directory))
        check_config(directory)
    resolved = load_config(config if config is not None else own, overrides or [])
    check_trust(directory, resolved, _named(config, overrides, trust))
    return resolved


def _named(config: str | None, overrides: list[str] | None, trust: bool) -> list[str] | None:
    """The settings that this command names or trusts; None: all."""
    return None if trust or config is not None else [each.partition("=")[0].strip() for each in overrides or []]


@contextlib.contextmanager
def open_run(
    directory: Path,
    config: str | None = None,
    overrides: list[str] | None = None,
    overwrite: bool = False,
    stage: str = "",
    trust: bool = False,
    slice: str | None = None,
) -> Iterator[RunDir]:
    """Open or make a run directory and keep other commands out of it until the block ends; with a `slice`, not those of others.

    With `--overwrite`, what the block makes replaces the results of other settings, or else those of `stage`, once the
    block has ended without an error.
    """
    from learnalign.rundir import RunDir
    from learnalign.rundir import Slice as Part

    if overwrite:
        if slice:
            raise InputError(
                "--slice with --overwrite: the results of one slice cannot take the place of all; choose a new run directory, or "
                "give --overwrite without --slice"
            )
        named = named_run(directory, config, overrides, trust)
        with RunDir.overwriting(directory, named.config, stage or None, trust=False) as run:
            yield run
    else:
        run = use_run(directory, config, overrides, trust, Part.parse(slice) if slice is not None else None)
        with run.locked():
            yield run


def use_run(
    directory: Path,
    config: str | None = None,
    overrides: list[str] | None = None,
    trust: bool = False,
    slice: Part | None = None,
) -> RunDir:
    """Open or make a run directory whose stages the command reads, but does not run."""
    from learnalign.rundir import RunDir

    named = named_run(directory, config, overrides, trust)
    return RunDir.create(directory, named.config, trust=False, slice=slice)


def named_run(
    directory: Path, config: str | None = None, overrides: list[str] | None = None, trust: bool = False
) -> RunDir:
    """The run directory with the settings of a command, to which nothing is written yet."""
    from learnalign.rundir import RunDir, remember_trust

    resolved = resolve_config(directory, config, overrides, trust)
    remember_trust(directory, resolved, _named(config, overrides, trust))
    return RunDir(directory, resolved)


def size_text(count: float | None, policies: int | None = 1) -> str:
    """Bytes in the unit that suits them; None is those of `policies` models."""
    if count is None:
        return "a model" if policies == 1 else f"{policies} models"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def check_option(output: Path | None, as_json: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse an `-o` that cannot or must not be written, before any work."""
    from learnalign.outputs import check_output, is_stdout

    if output is None:
        return
    check_output(output, inputs)
    if as_json and is_stdout(output):
        raise InputError(f"-o {output}: --json prints its result on standard output; give a file")


def tables_beside(output: Path | None) -> contextlib.AbstractContextManager[Any]:
    """Print tables on stderr inside the block if `-o` has standard output for itself."""
    from learnalign.outputs import is_stdout

    return contextlib.redirect_stdout(sys.stderr) if output and is_stdout(output) else contextlib.nullcontext()


def finish(run: RunDir, as_json: bool, shown: str | None = None, **more: Any) -> None:
    """Print the run's summary: prompts in, left out and why, p, V > 0, chosen, time per stage.

    Of the choices, the one of label `shown` is printed whole, or the run's own.
    """
    from learnalign.summary import summarise

    summary = {**summarise(run), **more}
    if as_json:
        print_json(summary)
    else:
        print_summary(summary, shown)


def print_json(value: Any) -> None:
    from learnalign.rundir.files import as_json

    with as_result():
        print(as_json(value, indent=2, default=str))


def table_width(stderr: bool = False) -> int:
    """Characters of a line: the terminal's, or 120 in a file."""
    from rich.console import Console

    return Console(stderr=stderr).width if (sys.stderr if stderr else sys.stdout).isatty() else 120


def print_table(title: str, columns: list[str], rows: list[list[Any]], stderr: bool = False) -> None:
    """Print a small table on stdout, or on stderr; numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(pad_edge=False, box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        name = not i and max((len(str(row[0])) for row in rows), default=0) < 40  # of a method, a stage
        table.add_column(
            column,
            overflow="fold",
            no_wrap=name,
            justify="right" if i and rows and isinstance(rows[0][i], int | float) else "left",
        )
    for row in rows:
        table.add_row(*[_cell(value) for value in row])
    console = Console(stderr=stderr, width=table_width(stderr), markup=False)
    if title:  # not the table's own, which is broken into lines as wide as the table
        console.print(title, style="bold", highlight=False)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else visible(str(value)).replace("\n", "\\n")


def visible(text: str) -> str:
    """`text` with everything escaped that a terminal would obey or not show, but for ends of lines."""
    return "".join(c if c == "\n" or c.isprintable() else " " * 4 if c == "\t" else repr(c)[1:-1] for c in text)


def print_summary(summary: dict[str, Any], shown: str | None = None) -> None:
    """The summary of a run as short tables."""
    pool = summary["pool"]
    rows = [["rows in", pool["rows"]], ["prompts", pool["prompts"]]]
    rows += [[f"left out: {reason}", count] for reason, count in summary["left_out"].items()]
    if success := summary["success"]:
        rows += [["mean success rate p", success["mean"]], ["prompts with V > 0", success["learnable"]]]
    if (chosen := summary["chosen"]) is not None:
        rows.append(["chosen", chosen])
    print_table(str(summary["run"]), ["", "count"], rows)
    if success:
        print_table(
            "success rate p", ["p", "prompts", ""], [[*bin, _bar(bin[1], success)] for bin in success["histogram"]]
        )
    if summary["stages"]:
        columns = ["stage", "status", "time", "CPU time", "peak memory, GB"]
        keys = ["stage", "status", "time", "cpu_time", "memory"]
        print_table("stages", columns, [[stage[key] for key in keys] for stage in summary["stages"]])
    dtype = "auto, the checkpoint's own" if summary["dtype"] == "auto" else summary["dtype"]
    print(
        f"dtype of the model: {dtype}" + (f"; engine of the rollouts: {summary['engine']}" if summary["engine"] else "")
    )
    if summary["quarantine"]:
        print(f"left out, each with its reason: {summary['quarantine']}")
    if summary["caution"]:
        print(summary["caution"])
    if summary["cascade"] and not summary["selections"]:  # which say it themselves
        print(summary["cascade"])
    selections = dict(summary["selections"])
    whole = shown or next(reversed(selections), "")
    own = selections.pop(whole, None)
    for method, selection in selections.items():
        print(_where(method, selection))
    if own:
        print_selection(whole, own)
    if summary["report_is_old"]:
        command = f"learnalign report {shlex.quote(str(summary['run']))}"
        print(f"{summary['report']} shows an earlier choice; `{command}` makes it again")


def print_selection(method: str, selection: dict[str, Any]) -> None:
    """What one method chose: the shares by columns of the data, sentences for the user, the subset's path."""
    rows = [
        [s["column"], s["value"], _part(selection, s, "prompts"), s["eligible"], _part(selection, s, "chosen")]
        for s in selection["shares"]
    ]
    if rows:
        columns = ["column", "value", "in the pool (% of it)", "could be chosen", "chosen (% of the chosen)"]
        print_table(f"method {method}: pool and chosen by columns of the data", columns, rows)
    for note in selection["notes"]:
        print(f"method {method}: {note}")
    print(_where(method, selection))


def _where(method: str, selection: dict[str, Any]) -> str:
    return f"method {method}: {counted(selection['chosen'], 'prompt')}, best first, in {selection['subset']}"


def _part(selection: dict[str, Any], share: dict[str, Any], which: str) -> str:
    """A count, and its share of all prompts that have the column."""
    total = sum(other[which] for other in selection["shares"] if other["column"] == share["column"])
    return f"{share[which]} ({100 * share[which] / total:.0f} %)" if total else "0"


def _bar(count: int, success: dict[str, Any], width: int = 30) -> str:
    most = max(number for _, number in success["histogram"]) or 1
    return "█" * round(width * count / most)
