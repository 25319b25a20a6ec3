"""`learnalign verify`: score completions that already exist, in a file or a run."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnalign.errors import InputError, counted
from learnalign.names import VERIFIERS, lined

from .common import Json, Trust, check_option, print_json, print_table
from .remote import directory_of

if TYPE_CHECKING:
    from learnalign.verify.rows import Agreement, Report

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE|DIR",
        help="JSONL or Parquet file of completions, or a run directory.",
        show_default=False,
        parser=directory_of,
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--verifier",
        metavar="NAME",
        help=f"A name, or module:function; repeat it to compare several.{lined(VERIFIERS)}",
        show_default="math; a run's own",
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="GRADER",
        help="Compare with another grader: verl, trl or math-verify; repeatable.",
        show_default=False,
    ),
]
Completion = Annotated[
    str | None,
    typer.Option("--completion", metavar="COL", help="Column of the completion.", show_default="completion"),
]
Answer = Annotated[
    str | None,
    typer.Option(
        "--answer", metavar="COL", help="Column of the gold answer; a.b for b inside a.", show_default="answer"
    ),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the rows here, not to stdout; - is stdout.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes; all CPUs by default.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.01,
        help="Seconds that one completion may take: of CPU time, for functions of your own by the clock.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--reasoning-tag",
        metavar="TAG",
        help="Further tag around reasoning, which is no answer: a name, or an opening and a closing one; repeatable.",
        show_default=False,
    ),
]

Sandbox = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        metavar="PLACE",
        help="Where the verifier code runs programs: local, or the URL of a service. Of a run directory: the run's own.",
        show_default=False,
    ),
]


def verify(
    source: Source,
    verifiers: Names = None,
    graders: With = None,
    completion: Completion = None,
    answer: Answer = None,
    output: Output = None,
    workers: Workers = None,
    timeout: Timeout = 5.0,
    reasoning_tags: Tags = None,
    sandbox: Sandbox = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Score the completions of a JSONL or Parquet file, or a run's rollouts again, against their gold answers.

    Writes each row with `reward` (1.0 correct, 0.0 wrong, null unscorable), `reason` and `read`, the answer read from it;
    further verifiers add `reward_2` and so on, and stderr shows the disagreements. With --json the rows go only to -o, and
    stdout has the summary.

    Of a run directory nothing is changed: stderr shows how many verdicts differ from the stored rewards, and rows are
    written only to -o. --with counts how often a trainer's own grader decides otherwise.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or run directory")
    from learnalign.inputs import kind_of
    from learnalign.outputs import open_output
    from learnalign.verify.graders import verifier_name

    check_option(output, as_json)
    if output is not None and kind_of(output) == ".parquet":
        raise InputError(f"-o {output}: rows are written as lines of JSON; give a name that ends in .jsonl")
    others = [verifier_name(grader) for grader in graders or ()]
    options: dict[str, Any] = dict(
        workers=workers, timeout=timeout, reasoning_tags=reasoning_tags or (), sandbox=sandbox
    )
    score = _scorer(source, verifiers or [], others, completion, answer, options, trust)
    if output is None:
        report = score(None if as_json or source.is_dir() else sys.stdout.write)
    else:
        with open_output(output) as target:
            report = score(lambda line: target.write(line.encode()))
    ours = report.tallies[1 if source.is_dir() else 0].verifier
    agreements = [report.agreement(grader, ours) for grader in graders or ()]
    if as_json:
        print_json(_summary(report, agreements))
    else:
        _show(report, ours, agreements)


def _scorer(
    source: Path,
    verifiers: list[str],
    others: list[str],
    completion: str | None,
    answer: str | None,
    options: dict[str, Any],
    trust: bool,
) -> Callable[[Callable[[str], Any] | None], Report]:
    if not source.is_dir():
        from learnalign.verify.rows import verify_file

        options |= dict(completion=completion or "completion", answer=answer or "answer")
        return lambda write: verify_file(source, [*(verifiers or ["math"]), *others], write, **options)

    from learnalign.rollouts.again import verify_run

    if completion or answer:
        raise InputError(
            f"--completion and --answer name the columns of a file; {source} is a directory: leave them out"
        )
    if not verifiers:
        verifiers = [_own_verifier(source, trust)]
    return lambda write: verify_run(source, [*verifiers, *others], write, **options)


def _own_verifier(directory: Path, trust: bool) -> str:
    """The verifier that the run directory's config.yaml names, if this user trusts it."""
    from learnalign.rundir import RunDir, check_trust, remember_trust

    config = RunDir.peek(directory).config
    if trust:
        remember_trust(directory, config)
    check_trust(directory, config)
    return config.verifier


def _summary(report: Report, agreements: list[Agreement]) -> dict[str, Any]:
    from learnalign.verify.verdict import LONGEST_ANSWER

    verifiers = [
        {
            "verifier": tally.verifier,
            "correct": tally.correct,
            "wrong": tally.wrong,
            "unscorable": tally.unscorable.total(),
            "unscorable_reasons": dict(tally.unscorable.most_common()),
        }
        for tally in report.tallies
    ]
    examples = [
        {
            report.places: each.place,
            "answer": each.item.answer[:LONGEST_ANSWER],
            "rewards": [v.reward for v in each.verdicts],
            "reasons": [v.reason for v in each.verdicts],
        }
        for each in report.examples
    ]
    return {
        "rows": report.rows,
        "verifiers": verifiers,
        "disagreements": report.disagreements,
        "patterns": [{"rewards": list(rewards), "rows": count} for rewards, count in report.patterns.most_common()],
        "agreements": [asdict(agreement) for agreement in agreements],
        "examples": examples,
        "without_completions": report.without_completions,
    }


def _show(report: Report, ours: str, agreements: list[Agreement]) -> None:
    """Print counts, reasons of unscorable rows and disagreements on stderr: stdout is for the rows."""
    show = functools.partial(print_table, stderr=True)
    tallies = [[t.verifier, t.correct, t.wrong, t.unscorable.total()] for t in report.tallies]
    show(f"{counted(report.rows, 'completion')}", ["verifier", "correct", "wrong", "unscorable"], tallies)
    if report.without_completions:
        print(
            f"{counted(report.without_completions, 'prompt has', 'prompts have')} counts only, no completions",
            file=sys.stderr,
        )
    reasons = [[t.verifier, n, reason] for t in report.tallies for reason, n in t.unscorable.most_common(10)]
    if reasons:
        show("unscorable", ["verifier", "rows", "reason"], reasons)
    if len(report.tallies) > 1:
        print(f"the verifiers disagree on {counted(report.disagreements, 'row')}", file=sys.stderr)
        names = [tally.verifier for tally in report.tallies]
        patterns = [[*map(_reward, rewards), count] for rewards, count in report.patterns.most_common()]
        show("rewards", [*names, "rows"], patterns)
    if agreements:
        columns = ["grader", "both correct", "only ours", "only theirs", "both wrong", "unscorable"]
        show(f"{ours} (ours) and other graders (theirs)", columns, [list(astuple(each)) for each in agreements])
    if report.examples:
        lines = [
            [str(each.place), _end(each.item.answer), _end(each.item.completion)]
            + [f"{_reward(v.reward)}: {v.reason}" for v in each.verdicts]
            for each in report.examples
        ]
        show("first disagreements", [report.places, "gold", "completion ends in", *names], lines)


def _end(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else "…" + line[1 - limit :]


def _reward(reward: float | None) -> str:
    return "null" if reward is None else f"{reward:.1f}"
