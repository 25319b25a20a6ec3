"""How fast stages were elsewhere: published_rates.yaml, each figure with its source."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class PublishedRate:
    """`amount` tokens of a stage took `seconds` of one `device`, with a model of so many `parameters`.

    `counted`: actual tokens, or at most so many (`longest`), as a plan counts them; `how` the amount follows from what was published.
    """

    stage: str
    amount: int
    seconds: float
    counted: Literal["actual", "longest"]
    model: str
    parameters: int
    device: str
    source: str
    how: str


@dataclass(frozen=True, kw_only=True)
class HostRates:
    """What the pool costs the machine that leads.

    Memory of each process for a prompt, bytes; time to read a line of manifest.jsonl, s; `select`'s CPU time for a prompt, s, and the
    features that it reads, checks and multiplies, bytes/s.
    """

    bytes_per_prompt: int
    seconds_per_line: float
    select_seconds_per_prompt: float
    select_bytes_per_second: float


def published_rates(stage: str) -> list[PublishedRate]:
    """All published rates of warmup, rollout, grad or train."""
    return [rate for each in _file()["rates"] if (rate := PublishedRate(**each)).stage == stage]


def host_rates() -> HostRates:
    """Measured with this version."""
    return HostRates(**_file()["host"])


@functools.cache
def _file() -> dict[str, Any]:
    import yaml

    text = resources.files("learnalign").joinpath("published_rates.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)  # type: ignore[no-any-return]
