"""A verifier that a random model sometimes satisfies: a completion's checksum decides."""

from __future__ import annotations

import zlib
from typing import Any


def worth(text: str) -> float | None:
    """Correct for 2 of 5 checksums, unscorable for one of 20."""
    checksum = zlib.crc32(text.encode())
    return None if checksum % 20 == 0 else float(checksum % 5 < 2)


def coin(prompts: list[Any], completions: list[Any], **_: Any) -> list[float | None]:
    """`worth` with TRL's signature."""
    return [worth(c if isinstance(c, str) else c[-1]["content"]) for c in completions]


def low(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
    """Correct if a completion begins with a character below P."""
    return [float(c[-1]["content"][:1] < "P") for c in completions]


def never(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
    """Never correct."""
    return [0.0] * len(completions)
