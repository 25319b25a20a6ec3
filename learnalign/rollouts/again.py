"""Judges a run's stored rollouts again, with its own verifier or others; writes nothing into the run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, counted
from learnalign.progress import Progress
from learnalign.prompts import Prompt, stored_prompts
from learnalign.rollouts.groups import Rollout, load_opened, load_outcomes, load_rollouts
from learnalign.rundir import RunDir, check_trust
from learnalign.verify import Item, Verdict, open_verifier
from learnalign.verify.configured import configured_limits
from learnalign.verify.graders import short_name
from learnalign.verify.rows import Report, Row, Tally, score_rows

STORED = "stored"


def verify_run(
    path: Path,
    names: Sequence[str],
    write: Callable[[str], Any] | None,
    workers: int | None = None,
    timeout: float = 5.0,
    reasoning_tags: Sequence[str] = (),
    sandbox: str | None = None,
) -> Report:
    """Judge every stored rollout; the report's first tally, `STORED`, has the rewards of the run.

    Args:
        path: the run directory.
        names: verifiers; none: the run's own.
        write: called with each rollout as a line of JSON: id, sample, answer, completion, stored, reward, reason.
        workers, timeout: those of `open_verifier`.
        sandbox: that of `open_verifier`; None: the run's.
        reasoning_tags: besides the run's `data.reasoning_tags`.

    Raises:
        InputError: there is no such run or verifier, or it holds no completions.
        RunError: it has no rollouts yet.
    """
    run = RunDir.peek(path)
    if not names:
        check_trust(path, run.config)
    names = list(names) or [run.config.verifier]
    place, limits = sandbox or run.config.verifier_sandbox, configured_limits(run.config)
    tags = [*run.config.data.reasoning_tags, *reasoning_tags]
    stored = stored_prompts(run)
    held = load_outcomes(run)
    if not held.outcomes:
        raise InputError(
            f"{path} holds no completions ({counted(len(held.counts), 'prompt has', 'prompts have')} counts only); there is none to judge"
        )
    total = sum(outcome.samples for outcome in held.outcomes.values())
    tallies = [Tally(STORED), *(Tally(short_name(name)) for name in names)]
    report = Report(total, tallies, places="rollout", without_completions=len(held.counts))
    with contextlib.ExitStack() as stack:
        verifiers = [
            stack.enter_context(
                open_verifier(name, workers, timeout, reasoning_tags=tags, sandbox=place, limits=limits)
            )
            for name in names
        ]
        progress = stack.enter_context(Progress(total, "completions", "verify"))
        for shard in run.shards():
            opened = load_opened(run, shard)
            prompts = {prompt.id: prompt for prompt in stored[shard.start : shard.stop]}
            rows = [_row(rollout, prompts[rollout.id], opened) for rollout in load_rollouts(run, shard)]
            score_rows(rows, verifiers, report, write)
            progress.advance(len(rows))
    return report


def _row(rollout: Rollout, prompt: Prompt, opened: str) -> Row:
    columns = {
        "id": rollout.id,
        "sample": rollout.sample,
        "answer": prompt.answer,
        "completion": rollout.text,
        "stored": rollout.reward,
    }
    item = Item(rollout.text, prompt.answer, prompt.messages, json.loads(prompt.source), opened)
    return Row(f"{rollout.id}, sample {rollout.sample}", columns, item, (Verdict(rollout.reward, "as stored"),))
