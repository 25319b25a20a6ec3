"""The verifier in a trainer's own process: opened when it is first needed, as p was measured, and kept until that process ends."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Sequence
from typing import Any

from learnalign.verify import Item, Verdict, Verifier, open_verifier


@functools.cache
def _opened(name: str, reasoning_tags: tuple[str, ...]) -> Verifier:
    verifier = open_verifier(name, reasoning_tags=reasoning_tags)
    atexit.register(verifier.close)
    return verifier


def verdicts(items: Sequence[Item], name: str = "math", reasoning_tags: Sequence[str] | None = None) -> list[Verdict]:
    """Judge completions with the verifier `name`; reward None is a completion that cannot be scored."""
    return _opened(name, tuple(reasoning_tags or ())).score(items)


def text_of(completion: Any) -> str:
    """The text of a completion: itself, or the last of its messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"] or "")
