"""Finds where a prompt's question begins: after the chat template's prefix (system prompt and worked examples)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learnalign.policy import TemplateRefusal, prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]
MARK = "⟦assistant⟧"  # an assistant's turn, rendered to see how the template closes it


def prefix_length(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> int:
    """Tokens of `prompt_ids` before the last message's turn, the template's own system prompt included.

    0 if nothing precedes it, or only a token that begins every text.
    """
    prefix = prefix_text(tokenizer, messages)
    if prefix.strip() in ("", tokenizer.bos_token):
        return 0
    length = 0
    prefix_ids = tokenizer(prefix, add_special_tokens=False)["input_ids"]
    for one, other in zip(prefix_ids, prompt_ids(tokenizer, messages), strict=False):
        if one != other:  # a token across the boundary belongs to the question
            break
        length += 1
    return length


def prefix_text(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> str:
    """The rendered prompt up to the turn of its last message.

    Up to that message's text, if the template writes the turn differently at the beginning of a conversation.
    """
    text, turn = _render(tokenizer, messages), _last_turn(tokenizer, messages[-1])
    if turn and text.endswith(turn):
        return text[: -len(turn)]
    return text[: max(0, text.rfind(messages[-1]["content"].strip()))]


def _last_turn(tokenizer: PreTrainedTokenizerBase, message: dict[str, str]) -> str:
    """The text that the template adds for `message` after an assistant's turn; none if it refuses such a conversation."""
    pair = [message, {"role": "assistant", "content": MARK}]
    try:
        close = _after_mark(_render(tokenizer, pair))
        rest = _after_mark(_render(tokenizer, [*pair, message]))
    except TemplateRefusal:
        return ""
    return rest.removeprefix(close) if rest.startswith(close) else ""


def _after_mark(text: str) -> str:
    return text[text.rindex(MARK) + len(MARK) :]


def _render(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)  # type: ignore[return-value]
