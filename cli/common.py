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

from learnalign.errors import InputError, LearnAlignError, counted, one_line, short

from .stopping import arrived

if TYPE_CHECKING:
    from learnalign.config import Config
    from learnalign.plan import Plan, Work
    from learnalign.rundir import RunDir

DEBUG, VERBOSE = "--debug", "--verbose"

Dir = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.", show_default=False)]
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
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and show the work: rows, time, tokens, disk; write nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]


def as_size(given: str | float | None) -> float | None:
    """What `-n` gives, as a number; raises InputError in the words of the setting select.size."""
    from learnalign.config.keys import type_of

    try:
        return None if given is None else float(given)
    except ValueError:
        raise InputError(f"-n: got {short(given)}, but it should be {type_of('select.size')}") from None


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """`function` with errors as one message and an exit code: 1 failed, 2 wrong use. Signals are left to `stopping`."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
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
) -> Iterator[RunDir]:
    """Open or make a run directory and keep other commands out of it until the block ends.

    With `--overwrite`, what the block makes replaces the results of other settings, or else those of `stage`, once the
    block has ended without an error.
    """
    from learnalign.rundir import RunDir, remember_trust

    resolved = resolve_config(directory, config, overrides, trust)
    remember_trust(directory, resolved, _named(config, overrides, trust))
    if overwrite:
        with RunDir.overwriting(directory, resolved, stage or None, trust=False) as run:
            yield run
    else:
        run = RunDir.create(directory, resolved, trust=False)
        with run.locked():
            yield run


def use_run(
    directory: Path, config: str | None = None, overrides: list[str] | None = None, trust: bool = False
) -> RunDir:
    """Open or make a run directory whose stages the command reads, but does not run."""
    from learnalign.rundir import RunDir, remember_trust

    resolved = resolve_config(directory, config, overrides, trust)
    remember_trust(directory, resolved, _named(config, overrides, trust))
    return RunDir.create(directory, resolved, trust=False)


def show_plan(
    directory: Path,
    config: str | None,
    overrides: list[str] | None,
    as_json: bool,
    trust: bool,
    *checked: str,
    anyway: bool = True,
) -> None:
    """Print the work of the three heavy stages, once they and further `checked` stages can work; nothing is written.

    Golds that are whole solutions are refused, as the command itself does, unless `anyway`.
    """
    from learnalign.rundir import RunDir

    heavy = ["warmup", "rollout", "grad"]
    run = RunDir(directory, resolve_config(directory, config, overrides, trust))
    stale = [f"{name} ({'; '.join(differences)})" for name, differences in run.stale()]
    more = {"stale": stale} if stale else {}
    show_work(run.config, as_json, heavy, [*heavy, *checked], run, anyway=anyway, **more)


def show_work(
    config: Config,
    as_json: bool,
    stages: list[str],
    checked: list[str] | None = None,
    run: RunDir | None = None,
    *,
    anyway: bool = True,
    **more: Any,
) -> None:
    """Print the work of some stages, by the rates that `run` has measured; `more` is added to it, settings by --verbose."""
    from dataclasses import asdict

    from learnalign.plan import plan

    planned = plan(config, stages, checked, run, anyway=anyway)
    free = None if run is None else free_bytes(run.path)
    if as_json:
        config_ = config.model_dump(mode="json")
        print_json({**asdict(planned), "config": config_, **({} if free is None else {"free_bytes": free}), **more})
        return
    print(_verdict(planned, free, stale=bool(more.get("stale"))))
    print_work(planned)
    if planned.chosen is not None:
        print(_choice(planned, run))
    if free is not None:
        print(f"disk: {size_text(_needed(planned))} at most, {size_text(free)} free")
    for name, value in more.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print_settings(config)


def _verdict(planned: Plan, free: int | None, stale: bool) -> str:
    """The first line: can it run?"""
    if stale:
        return "it cannot run here: stages were made with other settings (below); give --overwrite, or a new directory"
    if free is not None and _needed(planned) > free:
        return "it may run out of disk (below); free some, or choose another place for the run directory; nothing else stands in the way"
    return "it can run: nothing stands in the way"


def _choice(planned: Plan, run: RunDir | None) -> str:
    """What select would choose, and of how many: those with V > 0, once they are known."""
    from learnalign.selection.methods import find_method
    from learnalign.summary import success_summary

    method = find_method(planned.config.select.method)
    words = f"select: {planned.chosen:,} of {counted(planned.prompts, 'prompt')} by method {method.name}"
    if not method.learnable:
        return words
    known = success_summary(run) if run is not None and run.is_finished("rollout") else None
    return words + (
        f", of the {known['learnable']:,} with V > 0"
        if known
        else ", if as many are solved sometimes, not always (V > 0)"
    )


def print_work(planned: Plan) -> None:
    """The pool and each stage's work as tables."""
    rows: list[list[Any]] = [["rows", planned.rows]]
    rows += [[f"left out: {reason}", count] for reason, count in planned.reasons.items()]
    rows += [["prompts", planned.prompts], ["tokens of a prompt", planned.prompt_tokens / max(1, planned.prompts)]]
    rows += [["parameters of the model", planned.parameters]] if planned.parameters else []
    print_table("pool", ["", "count"], rows)
    works = [
        [one.stage, one.prompts, one.steps, one.tokens, size_text(_disk_of(one, planned), one.policies), str(one.time)]
        for one in planned.stages
    ]
    print_table("work", ["stage", "prompts", "steps at most", "tokens at most", "disk at most", "time"], works)
    if any(one.time and not one.time.measured for one in planned.stages):
        print("times are rough, from the model's size and this machine; a finished stage's rate is used instead")


def _needed(planned: Plan) -> int:
    """Bytes of all stages' files at most."""
    return sum(_disk_of(one, planned) or 0 for one in planned.stages)


def _disk_of(work: Work, planned: Plan) -> int | None:
    """Bytes of a stage's files; a policy's weights are stored in float32."""
    if work.disk_bytes is not None or planned.parameters is None:
        return work.disk_bytes
    return 4 * planned.parameters * (work.policies or 0)


def free_bytes(directory: Path) -> int:
    """Free space of the disk that a directory is or will be on."""
    import shutil

    place = directory.resolve()
    return shutil.disk_usage(next(each for each in (place, *place.parents) if each.is_dir())).free


def print_settings(config: Config) -> None:
    """Every resolved setting, if they are asked for."""
    if VERBOSE in sys.argv:
        from learnalign.config import dump_config

        print(dump_config(config), end="")
    else:
        print(f"every setting: {VERBOSE}")


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


def finish(run: RunDir, as_json: bool, **more: Any) -> None:
    """Print the run's summary: prompts in, left out and why, p, V > 0, chosen, time per stage."""
    from learnalign.summary import summarise

    summary = {**summarise(run), **more}
    if as_json:
        print_json(summary)
    else:
        print_summary(summary)


def print_json(value: Any) -> None:
    from learnalign.rundir.files import as_json

    print(as_json(value, indent=2, default=str))


def print_table(title: str, columns: list[str], rows: list[list[Any]], stderr: bool = False) -> None:
    """Print a small table on stdout, or on stderr; numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(
            column, overflow="fold", justify="right" if i and rows and isinstance(rows[0][i], int | float) else "left"
        )
    for row in rows:
        table.add_row(*[_cell(value) for value in row])
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    console = Console(stderr=stderr, width=None if terminal else 120, markup=False)
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


def print_summary(summary: dict[str, Any]) -> None:
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
        columns = ["stage", "status", "time", "peak memory, GB"]
        print_table("stages", columns, [[s["stage"], s["status"], s["time"], s["memory"]] for s in summary["stages"]])
    dtype = "auto, the checkpoint's own" if summary["dtype"] == "auto" else summary["dtype"]
    print(
        f"dtype of the model: {dtype}" + (f"; engine of the rollouts: {summary['engine']}" if summary["engine"] else "")
    )
    if summary["quarantine"]:
        print(f"left out, each with its reason: {summary['quarantine']}")
    if summary["caution"]:
        print(summary["caution"])
    *others, own = summary["selections"].items() or [None]
    for method, selection in others:
        print(_where(method, selection))
    if own:
        print_selection(*own)
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
