"""A run's stored rollouts as rows for verifiers: judged again, and compared with the rewards that are stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from learnalign.prompts import load_prompts
from learnalign.rollouts.groups import load_rollouts
from learnalign.rundir import RunDir
from learnalign.verify import Item, Verdict
from learnalign.verify.rows import Report, verify_rows


def verify_run(run: RunDir, names: Sequence[str], write: Callable[[str], Any] | None, **options: Any) -> Report:
    """Judge the rollouts of `run` with each verifier of `names`; nothing in the run changes.

    The report's first column, `stored`, is the run's own reward. Raises RunError if rollouts are missing; `write` and
    `options` are those of `verify_rows`.
    """
    prompts = {prompt.id: prompt for prompt in load_prompts(run)}

    def rows() -> Iterator[tuple[int, dict[str, Any], Item]]:
        number = 0
        for shard in run.shards():
            for rollout in load_rollouts(run, shard):
                number += 1
                prompt = prompts[rollout.id]
                row = {"id": rollout.id, "sample": rollout.sample, "answer": prompt.answer, "completion": rollout.text}
                item = Item(rollout.text, prompt.answer, prompt.messages, json.loads(prompt.source))
                yield number, {**row, "stored": rollout.reward}, item

    return verify_rows(rows, names, write, stored=_stored, **options)


def _stored(row: dict[str, Any]) -> Verdict:
    return Verdict(row["stored"], "not scored" if row["stored"] is None else "stored")
