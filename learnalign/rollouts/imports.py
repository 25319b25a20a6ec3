"""Completions (or counts) from another engine, in place of sampling: `learnalign rollout DIR --from FILE`.

Each line of the JSONL file names a prompt by `id` or `prompt` (text or messages; the system message and the worked
examples of data.few_shot do not count) and has one of: `completion` (text), `completion_ids` (the sampled tokens, EOS
included), or both, with a `finish_reason` if it is length; `completions`, a list of texts; or only the counts `correct`
and `scored`. The run's verifier judges completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnalign import demo
from learnalign.columns import LeaveOut, text_of
from learnalign.errors import InputError, counted, one_line, short
from learnalign.inputs import check_file, json_lines
from learnalign.policy import prompt_ids, run_tokenizer
from learnalign.prompts import Prompt, load_prompts, pool_examples
from learnalign.rollouts.groups import (
    Counts,
    Rollout,
    Source,
    judged_rollout,
    refuse_mixture,
    stored_shards,
    write_rollouts,
)
from learnalign.rollouts.judging import completion_texts, judge, refuse_unscored, unscored_reasons
from learnalign.rollouts.result import RolloutResult, conclude
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import as_json
from learnalign.rundir.stages import digest_of
from learnalign.verify.configured import configured_verifier

_MOST = 2**31  # of token ids and counts, which are stored as 32-bit integers
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """The imported rollouts, and the lines that matched no prompt (line → reason)."""

    rollouts: RolloutResult
    rows: int
    unmatched: dict[int, str]
    without_rollouts: int
    retokenised: int


@dataclass(frozen=True, slots=True)
class _GivenCompletion:
    """A completion in the file; at least one of text and completion_ids is given."""

    text: str | None
    completion_ids: list[int] | None
    finish_reason: str


@dataclass
class _Given:
    """Content of a file: completions and counts by prompt id, and the lines that matched no prompt."""

    rows: int = 0
    completions: dict[str, list[_GivenCompletion]] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    unmatched: dict[int, str] = field(default_factory=dict)


def import_rollouts(run: RunDir, file: str | Path) -> ImportResult:
    """Store the completions or counts of `file` as the run's rollouts and write success.parquet.

    `demo-code` is the file of the demo's code tasks. Text is tokenised with the policy's tokenizer (an EOS closes it unless its
    `finish_reason` is length); give `completion_ids` to keep the sampled tokens. Prompts missing from the file are left out,
    with that reason.

    An interrupted import is completed by the same call. Raises InputError if the file cannot be read, matches no prompt, or
    the run has other rollouts.
    """
    file = demo.CODE_COMPLETIONS if str(file) == "demo-code" else Path(file)
    prompts = load_prompts(run)
    given = _read(file, _PromptIndex(prompts, len(pool_examples(run.config.data))))
    stored, source = stored_shards(run), Source(file=str(file.resolve()), digest=digest_of(file))
    refuse_mixture(run, stored, source)
    with run.stage("rollout") as record:
        rollouts, retokenised = _rollouts(run, prompts, given, file)
        for shard in run.shards():
            if shard not in stored:
                _store(run, shard, prompts[shard.start : shard.stop], rollouts, given, source)
        result = conclude(run, prompts, record)
        record.notes |= {"engine": f"file {file}", "rows": given.rows, "retokenised": retokenised}
        record.notes |= {"unmatched": len(given.unmatched)}
    return ImportResult(
        rollouts=result,
        rows=given.rows,
        unmatched=given.unmatched,
        without_rollouts=result.counts["left_out"],
        retokenised=retokenised,
    )


def _store(
    run: RunDir,
    shard: Shard,
    prompts: Sequence[Prompt],
    rollouts: dict[str, list[Rollout]],
    given: _Given,
    source: Source,
) -> None:
    left_out = [
        Quarantined(id=prompt.id, row=prompt.row, reason=f"no rollouts of it in {source.file}")
        for prompt in prompts
        if prompt.id not in rollouts and prompt.id not in given.counts
    ]
    rows = [rollout for prompt in prompts for rollout in rollouts.get(prompt.id, ())]
    counts = [given.counts[prompt.id] for prompt in prompts if prompt.id in given.counts]
    write_rollouts(run, shard, rows, left_out, counts, source=source)


def _rollouts(
    run: RunDir, prompts: Sequence[Prompt], given: _Given, file: Path
) -> tuple[dict[str, list[Rollout]], int]:
    """The file's completions as judged rollouts by prompt id, and how many of them had to be tokenised."""
    if not given.completions:
        return {}, 0
    tokenizer = run_tokenizer(run)
    asked = [(prompt, one) for prompt in prompts for one in given.completions.get(prompt.id, ())]
    for prompt, one in asked:
        if (most := max(one.completion_ids or [0])) >= len(tokenizer):
            raise InputError(
                f"--from {file}: a completion of prompt {prompt.id} has token id {most}, but the tokenizer has "
                f"{counted(len(tokenizer), 'token')}; give the ids of this model's tokenizer, or only the texts"
            )
    without_text = [one.completion_ids or [] for _, one in asked if one.text is None]
    decoded = iter(completion_texts(tokenizer, without_text, run.config.data.reasoning_tags))
    texts = [next(decoded) if one.text is None else one.text for _, one in asked]
    with configured_verifier(run.config) as verifier:
        verdicts = judge(verifier, [(prompt, text) for (prompt, _), text in zip(asked, texts, strict=True)])
    reasons = unscored_reasons(verdict.reason for verdict in verdicts if verdict.reward is None)
    refuse_unscored(reasons, len(verdicts), run.config.verifier, "nothing of the file was stored")
    asked_ids = {id: prompt_ids(tokenizer, prompt.messages) for id, prompt in {p.id: p for p, _ in asked}.items()}
    groups: dict[str, list[Rollout]] = {}
    for (prompt, one), text, verdict in zip(asked, texts, verdicts, strict=True):
        group = groups.setdefault(prompt.id, [])
        ids = one.completion_ids
        if ids is None:
            closing = [tokenizer.eos_token_id] if one.finish_reason == "stop" else []
            ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], *closing]
        tokens = (asked_ids[prompt.id], ids)
        group.append(judged_rollout(prompt.id, len(group), *tokens, text, one.finish_reason, verdict))
    return groups, sum(one.completion_ids is None for _, one in asked)


def _read(file: Path, pool: _PromptIndex) -> _Given:
    given = _Given()
    check_file(file, "--from")
    for _, row, number, _ in json_lines(file, "--from"):
        _take(given, pool, row, f"--from {file}: line {number}", number)
    if not given.completions and not given.counts:
        first = "".join(f" (line {number}: {reason})" for number, reason in list(given.unmatched.items())[:1])
        raise InputError(f"--from {file}: none of its {counted(given.rows, 'row')} matches a prompt of the pool{first}")
    return given


def _take(given: _Given, pool: _PromptIndex, row: dict[str, Any], where: str, number: int) -> None:
    """Add the completions or counts of a line; raises InputError if the line is malformed."""
    given.rows += 1
    completions = _completions(row, where)
    id, reason = pool.find(row, where)
    if id is None:
        given.unmatched[number] = reason
    elif completions is not None:
        given.completions.setdefault(id, []).extend(completions)
    elif id in given.counts:
        raise InputError(f"{where}: prompt {id} has counts twice; merge them into one line")
    else:
        given.counts[id] = Counts(id, row["scored"], row["correct"])
    if id in given.counts and id in given.completions:
        raise InputError(f"{where}: prompt {id} has completions and counts; give only one of them")


def _completions(row: dict[str, Any], where: str) -> list[_GivenCompletion] | None:
    """The completions of a row, None for a row of counts."""
    text, several, ids = row.get("completion"), row.get("completions"), row.get("completion_ids")
    reason = row.get("finish_reason", "stop")
    if reason not in ("stop", "length"):
        raise InputError(f"{where}: finish_reason is {short(reason)}, not stop or length")
    if isinstance(several, list) and several and all(isinstance(one, str) for one in several):
        return [_GivenCompletion(_unicode(one), None, reason) for one in several]
    if ids is not None and not (
        isinstance(ids, list) and ids and all(type(id) is int and 0 <= id < _MOST for id in ids)
    ):
        raise InputError(f"{where}: completion_ids is not a list of token ids")
    if isinstance(text, str) or (text is None and ids is not None):
        return [_GivenCompletion(None if text is None else _unicode(text), ids, reason)]
    correct, scored = row.get("correct"), row.get("scored")
    if type(correct) is int and type(scored) is int and 0 <= correct <= scored < _MOST:
        return None
    raise InputError(
        f"{where} needs a `completion` (text), `completions` (a list of texts), `completion_ids`, or `correct` and "
        "`scored` (whole numbers, correct ≤ scored)"
    )


def _unicode(text: str) -> str:
    """`text` with � for half a surrogate pair, as a tokenizer prints what is no character."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


class _PromptIndex:
    """Finds prompts by id, or by their text, with or without the system message and the `shown` worked examples."""

    def __init__(self, prompts: Sequence[Prompt], shown: int) -> None:
        self._ids = {prompt.id for prompt in prompts}
        self._by_text: dict[Key, list[str]] = {}
        for prompt in prompts:
            key = _key(prompt.messages)
            for turns in {key, key[2 * shown :]}:
                self._by_text.setdefault(turns, []).append(prompt.id)

    def find(self, row: dict[str, Any], where: str) -> tuple[str | None, str]:
        """The id of the prompt that `row` names, or None and the reason."""
        id = row.get("id")
        name = id if isinstance(id, str) else as_json(id)
        if name in self._ids:
            return name, ""
        if "prompt" not in row:
            if "id" not in row:
                raise InputError(f"{where} names no prompt; give `id` or `prompt`")
            return None, f"no prompt of the pool has the id {one_line(name, 80)}"
        prompt = row["prompt"]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        try:
            ids = self._by_text.get(_key(messages), [])
        except (TypeError, KeyError, AttributeError, LeaveOut):
            raise InputError(f"{where}: prompt is neither text nor a list of messages with role and content") from None
        if len(ids) == 1:
            return ids[0], ""
        return (
            None,
            f"{counted(len(ids), 'prompt of the pool has', 'prompts of the pool have')} its text; give their id"
            if ids
            else "no prompt of the pool has its text",
        )


def _key(messages: Sequence[dict[str, str]]) -> Key:
    turns = [message for message in messages if message["role"] != "system"]
    return tuple((turn["role"], text_of(turn["content"]).strip()) for turn in turns)
