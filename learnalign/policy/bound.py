"""The fewest tokens that a text can have, told from its length: a prompt of megabytes takes minutes to tokenise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_COMPOSED = 4  # characters that become one at most in Unicode's normal form C
_KEEPING = {"ByteLevel", "Split", "Digits", "Punctuation", "Metaspace"}  # pre-tokenizers that drop no character


def longest_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most characters of a text that one token stands for; None if it may be any number.

    Known of byte-level BPE and of BPE with byte fallback, without a step that drops characters.
    """
    if not getattr(tokenizer, "is_fast", False):
        return None
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    model, tokens = parts["model"], tokenizer.get_vocab()
    normalizers, steps = _flat(parts["normalizer"], "normalizers"), _flat(parts["pre_tokenizer"], "pretokenizers")
    by_bytes = any(step["type"] == "ByteLevel" for step in steps) and len(_bytes() - tokens.keys()) == 0
    fallback = model.get("byte_fallback") and all(f"<0x{byte:02X}>" in tokens for byte in range(256))
    swallowing = any(token["lstrip"] or token["rstrip"] for token in parts["added_tokens"])
    if model["type"] != "BPE" or not (by_bytes or fallback) or swallowing or parts["truncation"]:
        return None
    if not all(map(_keeps, normalizers)) or not all(map(_keeps, steps)):
        return None
    composed = any(step["type"] == "NFC" for step in normalizers)
    return max(map(len, tokens)) * (_COMPOSED if composed else 1)


def _flat(step: dict[str, Any] | None, key: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return [one for each in step[key] for one in _flat(each, key)] if step["type"] == "Sequence" else [step]


def _keeps(step: dict[str, Any]) -> bool:
    """Whether a step keeps every character, or puts no fewer in its place."""
    if step["type"] == "Replace":
        return len(step["content"]) >= len(step["pattern"].get("String", step["content"] + " "))
    return step["type"] in {*_KEEPING, "NFC", "Prepend"} and step.get("behavior") != "Removed"


def _bytes() -> set[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return set(ByteLevel.alphabet())
