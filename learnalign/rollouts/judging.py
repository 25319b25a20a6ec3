"""Judges completions with a run's verifier: their text, and the reasoning in it, as the run's tokenizer has them.

If the verifier fails on all completions of several prompts, the work stops: it would leave nothing to learn from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from learnalign.errors import RunError, counted, one_line
from learnalign.prompts import Prompt
from learnalign.verify import Item, Verdict, Verifier
from learnalign.verify.reasoning import is_tag, opened_by

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAIL = 32  # tokens of a prompt in which an opening tag is looked for


def judge(verifier: Verifier, completions: Sequence[tuple[Prompt, str]], opened: str = "") -> list[Verdict]:
    """Verdicts on (prompt, text) pairs, in order; `opened` is the tag of a reasoning that the prompts began."""
    sources = {prompt.id: json.loads(prompt.source) for prompt, _ in completions}
    items = [
        Item(text, prompt.answer, prompt.messages, sources[prompt.id], opened=opened) for prompt, text in completions
    ]
    return verifier.score(items)


def unscored_reasons(reasons: Iterable[str | None]) -> dict[str, int]:
    """How many rollouts were not scored for each reason, the most frequent first."""
    return dict(Counter(reason or "no reason is stored" for reason in reasons).most_common())


def in_words(reasons: Mapping[str, int]) -> str:
    """The first reasons with their counts, on one line."""
    listed = [f"{one_line(reason)} ({count})" for reason, count in list(reasons.items())[:3]]
    return "; ".join(listed) + ("; …" if len(reasons) > 3 else "")


def refuse_unscored(reasons: Mapping[str, int], count: int, verifier: str, then: str) -> None:
    """Raise RunError if none of `count` completions was scored; `then` is what the same command does, run again."""
    if count and sum(reasons.values()) == count:
        raise RunError(
            f"none of {counted(count, 'completion')} could be scored: {in_words(reasons)}; mend verifier {verifier} and run the same "
            f"command again: {then}"
        )


def completion_texts(
    tokenizer: PreTrainedTokenizerBase, completions: Sequence[Sequence[int]], tags: Sequence[str]
) -> list[str]:
    """The texts of completions without special tokens, but with those that are tags of reasoning ([THINK])."""
    if not completions:
        return []  # of nothing, a tokenizer decodes one empty text
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(id for id, token in added.items() if token.special)}
    kept = {id for id in special if id in added and is_tag(str(added[id]), tags)}
    if not kept:
        return tokenizer.batch_decode([list(ids) for ids in completions], skip_special_tokens=True)
    hidden = special - kept
    shown = [[id for id in ids if id not in hidden] for ids in completions]
    return tokenizer.batch_decode(shown, skip_special_tokens=False)


def opened_reasoning(tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int], tags: Sequence[str]) -> str:
    """The tag of a reasoning that the rendered prompt begins, as some chat templates do; empty without one."""
    return opened_by(str(tokenizer.decode(list(prompt_ids[-_TAIL:]), skip_special_tokens=False)), tags)
