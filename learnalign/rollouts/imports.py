"""Completions (or counts) from another engine, in place of sampling: `learnalign rollout DIR --from FILE`.

The run's verifier judges the completions. `given` says what FILE holds; it may be larger than the memory.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnalign import demo
from learnalign.inputs import check_file
from learnalign.policy import run_tokenizer, token_ids
from learnalign.progress import Progress
from learnalign.prompts import Prompts, load_prompts, pool_examples
from learnalign.rollouts.given import Given, GivenCompletion, seekable
from learnalign.rollouts.groups import (
    Rollout,
    Source,
    judged_rollout,
    load_endings,
    refuse_mixture,
    stored_shards,
    write_rollouts,
)
from learnalign.rollouts.judging import completion_texts, judge, refuse_unscored, unscored_reasons
from learnalign.rollouts.result import RolloutResult, conclude
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.stages import digest_of
from learnalign.tokenised import asked_ids
from learnalign.verify import Verifier
from learnalign.verify.configured import configured_verifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_TOGETHER = 64  # texts that are tokenised at once: a tokenizer takes about 100 bytes a token for what it says of them


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """The imported rollouts, and the lines (rows of Parquet) that matched no prompt (number → reason)."""

    rollouts: RolloutResult
    rows: int
    unmatched: dict[int, str]
    without_rollouts: int
    retokenised: int


def import_rollouts(run: RunDir, file: str | Path) -> ImportResult:
    """Store the completions or counts of `file` as the run's rollouts and write success.parquet.

    `demo-code` is the file of the demo's code tasks. Text is tokenised with the policy's tokenizer (an EOS closes it unless its
    `finish_reason` is length); give `completion_ids` to keep the sampled tokens. Prompts missing from the file are left out,
    with that reason. Completions are in memory a shard at a time.

    An interrupted import is completed by the same call. Raises InputError if the file cannot be read, matches no prompt,
    changes meanwhile, or the run has other rollouts.
    """
    file = demo.CODE_COMPLETIONS if str(file) == "demo-code" else Path(file)
    prompts = load_prompts(run)
    check_file(file, "--from")
    with seekable(file, run.path) as lines:
        given = Given(file, lines, prompts, len(pool_examples(run.config.data)))
        stored, source = stored_shards(run), Source(file=str(file.resolve()), digest=digest_of(file))
        refuse_mixture(run, stored, source)
        with run.stage("rollout") as record:
            _store(run, prompts, given, source, stored)
            result = conclude(run, prompts, record)
            record.notes |= {"engine": f"file {file}", "rows": given.rows, "retokenised": given.retokenised}
            record.notes |= {"unmatched": len(given.unmatched)}
    return ImportResult(
        rollouts=result,
        rows=given.rows,
        unmatched=given.unmatched,
        without_rollouts=result.counts["left_out"],
        retokenised=given.retokenised,
    )


def _store(run: RunDir, prompts: Prompts, given: Given, source: Source, stored: Mapping[Shard, Source]) -> None:
    """Store the shards that are not stored yet; nothing as long as no completion can be scored."""
    shards = [shard for shard in run.shards() if shard not in stored]
    if not given:
        for shard in shards:
            _write(run, shard, prompts, [], given, source)
        return
    tokenizer = run_tokenizer(run)
    given.check_tokens(len(tokenizer))
    with (
        configured_verifier(run.config) as verifier,
        Progress(len(prompts), "prompts", "rollouts", sum(map(len, stored))) as progress,
    ):
        scored = any(reward is not None for shard in stored for _, reward, _ in load_endings(run, shard))
        waiting, unscored = list[Shard](), Counter[str | None]()
        for shard in shards:
            rollouts = _rollouts(run, shard, prompts, given, tokenizer, verifier)
            scored = scored or any(one.reward is not None for one in rollouts)
            if scored:
                _write(run, shard, prompts, rollouts, given, source)
                progress.advance(len(shard))
            else:
                waiting.append(shard)
                unscored.update(one.reason for one in rollouts)
        if not scored:
            reasons = unscored_reasons(unscored.elements())
            refuse_unscored(reasons, unscored.total(), run.config.verifier, "nothing of the file was stored")
        for shard in waiting:
            _write(run, shard, prompts, _rollouts(run, shard, prompts, given, tokenizer, verifier), given, source)
            progress.advance(len(shard))


def _rollouts(
    run: RunDir,
    shard: Shard,
    prompts: Prompts,
    given: Given,
    tokenizer: PreTrainedTokenizerBase,
    verifier: Verifier,
) -> list[Rollout]:
    """The file's completions of a shard, judged, in the pool's order."""
    members, completions = prompts[shard.start : shard.stop], given.completions(shard.start, shard.stop)
    asked = [(members[place - shard.start], one) for place, one in completions]
    without_text = [one.completion_ids or [] for _, one in asked if one.text is None]
    decoded = iter(completion_texts(tokenizer, without_text, run.config.data.reasoning_tags))
    texts = [next(decoded) if one.text is None else one.text for _, one in asked]
    verdicts = judge(verifier, [(prompt, text) for (prompt, _), text in zip(asked, texts, strict=True)])
    tokens = _tokens(tokenizer, [one for _, one in asked])
    prompt_ids = asked_ids(prompts, shard.start, shard.stop, tokenizer)
    rollouts, sizes = [], Counter[str]()
    for (place, one), ids, text, verdict in zip(completions, tokens, texts, verdicts, strict=True):
        id, asked_with = members[place - shard.start].id, prompt_ids[place - shard.start]
        rollouts.append(judged_rollout(id, sizes[id], asked_with, ids, text, one.finish_reason, verdict))
        sizes[id] += 1
    return rollouts


def _tokens(tokenizer: PreTrainedTokenizerBase, completions: Sequence[GivenCompletion]) -> list[list[int]]:
    """The token ids of completions; those of texts are closed by an EOS unless they were cut off."""
    texts = [one.text or "" for one in completions if one.completion_ids is None]
    parts = (texts[start : start + _TOGETHER] for start in range(0, len(texts), _TOGETHER))
    tokenised = itertools.chain.from_iterable(token_ids(tokenizer, part) for part in parts)
    closing = {"stop": [tokenizer.eos_token_id], "length": []}
    return [
        [*next(tokenised), *closing[one.finish_reason]] if one.completion_ids is None else one.completion_ids
        for one in completions
    ]


def _write(run: RunDir, shard: Shard, prompts: Prompts, rollouts: list[Rollout], given: Given, source: Source) -> None:
    held = {rollout.id for rollout in rollouts}
    counts = [counts for place in range(shard.start, shard.stop) if (counts := given.counts(place))]
    held |= {each.id for each in counts}
    left_out = [
        Quarantined(id=prompt.id, row=prompt.row, reason=f"no rollouts of it in {source.file}")
        for prompt in prompts[shard.start : shard.stop]
        if prompt.id not in held
    ]
    write_rollouts(run, shard, rollouts, left_out, counts, source=source)
