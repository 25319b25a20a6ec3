"""Prompts as the policy is asked: rendered by its chat template and tokenised together, once; those that cannot be asked are left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from learnalign.columns import Messages
from learnalign.config import DataConfig
from learnalign.errors import InputError, counted
from learnalign.policy import TemplateRefusal, longest_token, prompt_ids, prompt_text, token_ids
from learnalign.pool_table import PROMPT_IDS, Prompt, Prompts
from learnalign.rundir import Quarantined

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TOGETHER = 256  # prompts that are tokenised at once, on all cores


class Tokenising:
    """Tokenises prompts; `left_out` are those that cannot be asked: refused by the chat template, or too long."""

    def __init__(self, data: DataConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self.left_out: list[Quarantined] = []
        self._data, self._tokenizer, self._longest = data, tokenizer, longest_token(tokenizer)
        self._shortest: int | None = None  # tokens of the shortest prompt that the template renders
        self._refused: tuple[Messages, TemplateRefusal] | None = None  # the first one

    def __call__(self, prompts: Sequence[Prompt]) -> list[list[int] | None]:
        """Token ids of each prompt; None if it is left out."""
        together = (prompts[start : start + _TOGETHER] for start in range(0, len(prompts), _TOGETHER))
        return list(itertools.chain.from_iterable(map(self._tokenise, together)))

    def _tokenise(self, prompts: Sequence[Prompt]) -> list[list[int] | None]:
        limit, longest = self._data.max_prompt_tokens, self._longest
        texts = [self._rendered(prompt) for prompt in prompts]
        least = [-(-len(text) // longest) if longest and text is not None else 0 for text in texts]
        askable = [text for text, bound in zip(texts, least, strict=True) if text is not None and bound <= limit]
        tokenised, each = iter(token_ids(self._tokenizer, askable)), list[list[int] | None]()
        for prompt, text, bound in zip(prompts, texts, least, strict=True):
            ids = next(tokenised) if text is not None and bound <= limit else None
            length = bound if ids is None else len(ids)
            if text is not None:
                self._shortest = length if self._shortest is None else min(length, self._shortest)
            if length > limit:
                count = f"{length}" if ids else f"at least {length}"
                self.left_out.append(prompt.left_out(f"too long: {count} tokens, data.max_prompt_tokens is {limit}"))
            each.append(ids if length <= limit else None)
        return each

    def _rendered(self, prompt: Prompt) -> str | None:
        try:
            return prompt_text(self._tokenizer, prompt.messages)
        except TemplateRefusal as error:
            self._refused = self._refused or (prompt.messages, error)
            self.left_out.append(prompt.left_out(f"refused by the chat template: {error.reason}"))
            return None

    def check(self) -> None:
        """Raise InputError if the template refuses every prompt, or worked examples make every one too long."""
        data, shortest = self._data, self._shortest
        if self._refused and shortest is None:
            raise _refusal(data, self._tokenizer, *self._refused)
        if data.few_shot and shortest and shortest > data.max_prompt_tokens:
            raise InputError(
                f"data.few_shot: with the worked examples, the shortest prompt has at least {counted(shortest, 'token')}, but "
                f"data.max_prompt_tokens is {data.max_prompt_tokens}; raise it, or give fewer or shorter examples"
            )


def _refusal(
    data: DataConfig, tokenizer: PreTrainedTokenizerBase, messages: Messages, refusal: TemplateRefusal
) -> InputError:
    """The error for a template that refuses every prompt, with the setting that is the cause, if one is."""

    def renders(fewer: Messages) -> bool:
        try:
            prompt_ids(tokenizer, fewer)
        except TemplateRefusal:
            return False
        return True

    what, ways = (
        "every prompt",
        "correct the prompts (data.prompt, data.prompt_template, data.system_prompt, data.few_shot)",
    )
    if data.few_shot and renders([m for m in messages[:-1] if m["role"] == "system"] + messages[-1:]):
        what, ways = "the worked examples of data.few_shot", "set data.few_shot: null"
    elif data.system_prompt and messages[0]["content"] == data.system_prompt and renders(messages[1:]):
        what = "the system message of data.system_prompt"
        ways = "set data.system_prompt: null, put its text into the question with data.prompt_template"
    return InputError(
        f"{refusal.where}: its chat template refuses {what} ({refusal.reason}); {ways}, or use another model or "
        "chat_template.jinja"
    )


def count_tokens(
    data: DataConfig, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> tuple[dict[str, int], list[Quarantined]]:
    """Tokens of every prompt that can be asked, by id; and those left out. Raises as `Tokenising.check`."""
    tokenising, lengths = Tokenising(data, tokenizer), dict[str, int]()
    every = iter(prompts)
    while some := list(itertools.islice(every, _TOGETHER)):
        lengths |= {prompt.id: len(ids) for prompt, ids in zip(some, tokenising(some), strict=True) if ids is not None}
    tokenising.check()
    return lengths, tokenising.left_out


def asked_ids(prompts: Prompts, start: int, stop: int, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of a run's prompts from place `start` to `stop`: the stored ones; of a pool of an earlier version, made anew."""
    if PROMPT_IDS in prompts.more:
        return prompts.part(PROMPT_IDS, start, stop)
    return [prompt_ids(tokenizer, prompt.messages) for prompt in prompts[start:stop]]
