"""Stage 3: G rollouts of every prompt, judged, and the success rates they give (§4.4, step 3)."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnalign.executor import execute
from learnalign.policy import load_tokenizer, policy_path, prompt_ids
from learnalign.prompts import Prompt, load_prompts
from learnalign.rollouts.engine import Completion, Request, engine_name, open_engine, seed_of
from learnalign.rollouts.groups import Rollout, load_left_out, write_rollouts
from learnalign.rollouts.success import Success, distribution, summarize, write_success
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import is_done
from learnalign.verify import Item, open_verifier

STAGE = "rollout"


@dataclass(frozen=True, kw_only=True)
class RolloutResult:
    """Counts (prompts, samples, tokens, …), how many prompts have which p, and the file of success rates."""

    counts: dict[str, int]
    distribution: dict[str, int]
    success_file: Path


def rollout(run: RunDir) -> RolloutResult:
    """Sample and judge what is not there yet, then write success.parquet.

    Raises RunError where an engine or a verifier cannot do its work; finished shards stay.
    """
    prompts = load_prompts(run)
    with run.stage(STAGE) as record:
        todo = [shard for shard in run.shards() if not is_done(run.rollouts_file(shard), run.fingerprint(STAGE))]
        if todo:
            record.notes["engine"] = engine_name(run.config)
        execute(run, "rollouts", todo, lambda: RolloutWorker(run, prompts))
        rows = conclude(run, prompts)
        record.counts |= count(run, rows)
        record.notes |= describe(run, rows)
    return RolloutResult(counts=record.counts, distribution=distribution(rows), success_file=run.success_file)


class RolloutWorker:
    """The engine and the verifier of one process, working on shards; `close` (or garbage collection) ends both."""

    def __init__(self, run: RunDir, prompts: Sequence[Prompt]) -> None:
        self._run, self._prompts = run, prompts
        config = run.config
        longest = config.data.max_prompt_tokens + config.rollout.max_completion_length
        self._tokenizer = load_tokenizer(config)
        stack = ExitStack()
        self.close = weakref.finalize(self, stack.close)
        self._verifier = stack.enter_context(open_verifier(config.verifier))
        self._engine = stack.enter_context(open_engine(config, policy_path(run), longest))

    def __call__(self, shard: Shard) -> None:
        prompts = self._prompts[shard.start : shard.stop]
        ids = {prompt.id: prompt_ids(self._tokenizer, prompt.messages) for prompt in prompts}
        limit = self._engine.context_length
        left_out = [
            Quarantined(id=p.id, row=p.row, reason=f"too long for the model: {len(ids[p.id])} tokens of {limit}")
            for p in prompts
            if len(ids[p.id]) >= limit
        ]
        sampled = [prompt for prompt in prompts if len(ids[prompt.id]) < limit]
        samples = range(self._run.config.rollout.num_generations)
        groups = self._sample(sampled, ids, samples)
        write_rollouts(self._run, shard, self._judge(sampled, ids, groups), left_out)

    def _sample(
        self, prompts: Sequence[Prompt], ids: dict[str, list[int]], samples: Sequence[int]
    ) -> dict[str, list[Completion]]:
        config = self._run.config
        return self._engine.generate(
            [Request(p.id, ids[p.id], [seed_of(config.seed, p.id, sample) for sample in samples]) for p in prompts],
            max_completion_length=config.rollout.max_completion_length,
            temperature=config.rollout.temperature,
            top_p=config.rollout.top_p,
        )

    def _judge(
        self, prompts: Sequence[Prompt], ids: dict[str, list[int]], groups: dict[str, list[Completion]]
    ) -> list[Rollout]:
        asked = [(prompt, sample, one) for prompt in prompts for sample, one in enumerate(groups[prompt.id])]
        texts = [str(self._tokenizer.decode(one.completion_ids, skip_special_tokens=True)) for _, _, one in asked]
        sources = {prompt.id: json.loads(prompt.source) for prompt in prompts}
        verdicts = self._verifier.score(
            [
                Item(text, prompt.answer, prompt.messages, sources[prompt.id])
                for text, (prompt, _, _) in zip(texts, asked, strict=True)
            ]
        )
        return [
            Rollout(prompt.id, sample, ids[prompt.id], one.completion_ids, text, verdict.reward, one.finish_reason)
            for (prompt, sample, one), text, verdict in zip(asked, texts, verdicts, strict=True)
        ]


def conclude(run: RunDir, prompts: Sequence[Prompt]) -> list[Success]:
    """Write success.parquet and the stage's lines of quarantine.jsonl from the stored shards."""
    rows = summarize(run, prompts)
    write_success(run, rows)
    run.quarantine(STAGE, [entry for shard in run.shards() for entry in load_left_out(run, shard)])
    return rows


def count(run: RunDir, rows: Sequence[Success]) -> dict[str, int]:
    """Prompts, samples, tokens, rollouts that were not scored, and prompts that could not be sampled."""
    import pyarrow.compute as pc

    from learnalign.rundir.files import read_parquet

    tokens = 0
    truncated = 0
    for shard in run.shards():
        table = read_parquet(run.rollouts_file(shard), ["completion_ids", "finish_reason"])
        tokens += pc.sum(pc.list_value_length(table["completion_ids"])).as_py() or 0
        truncated += pc.sum(pc.equal(table["finish_reason"], "length")).as_py() or 0
    samples = sum(row.samples for row in rows)
    return {
        "prompts": sum(row.samples > 0 for row in rows),
        "left_out": sum(row.samples == 0 for row in rows),
        "samples": samples,
        "tokens": tokens,
        "truncated": truncated,
        "unscored": samples - sum(row.scored for row in rows),
        "learnable": sum(row.learnability > 0 for row in rows),
        "fewer_scored": len(fewer_scored(rows)),
    }


def describe(run: RunDir, rows: Sequence[Success]) -> dict[str, Any]:
    """The groups with fewer scored rollouts than most have (their p(1−p) is estimated from less), by id."""
    return {"fewer_scored": fewer_scored(rows)}


def fewer_scored(rows: Sequence[Success]) -> dict[str, int]:
    """Scored rollouts by id, of the groups that have fewer than the fullest group."""
    most = max((row.scored for row in rows), default=0)
    return {row.id: row.scored for row in rows if row.samples > 0 and row.scored < most}
