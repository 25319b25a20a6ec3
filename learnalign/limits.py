"""What a large pool strains that more GPUs do not help with, and what breaks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learnalign.config import Config
from learnalign.published import host_rates

BYTES_PER_TOKEN = 6  # of a stored rollout: an id and its text, compressed
BYTES_PER_ALIGNMENT = 40  # of a row of exact.parquet
BYTES_PER_SCORE = 150  # of a row of scores/METHOD.parquet
LINES_PER_SHARD = 4  # of manifest.jsonl: rollouts and gradients, each before and after its file takes its place


@dataclass(frozen=True, kw_only=True)
class Strain:
    """An `amount` (bytes, files, or seconds) that grows with the pool, the `limit` that is taken for it, and what helps."""

    what: str
    amount: float
    unit: Literal["bytes", "files", "seconds"]
    limit: float
    way: str

    @property
    def share(self) -> float:
        """How much of the limit it takes; it breaks at 1."""
        return self.amount / self.limit


def strains(config: Config, prompts: int, kept: int) -> list[Strain]:
    """Everything that grows with a pool of so many `prompts`, of which `kept` have a gradient; the worst first.

    The limits are those of a large machine: 64 GB for a process, 10 TB of disk, 100,000 files in a directory, a minute to open the run
    directory, an hour to read all features.
    """
    host, shards = host_rates(), -(-prompts // config.executor.shard_size)
    sampled = prompts * config.rollout.num_generations * config.rollout.max_completion_length
    larger = "a larger executor.shard_size"
    found = [
        Strain(
            what="memory of each process (prompts as Python objects)",
            amount=prompts * host.bytes_per_prompt,
            unit="bytes",
            limit=64e9,
            way="divide the pool into several run directories",
        ),
        Strain(
            what="disk for completions",
            amount=sampled * BYTES_PER_TOKEN,
            unit="bytes",
            limit=10e12,
            way="a smaller rollout.max_completion_length, rollout.adaptive, or a larger disk",
        ),
        Strain(
            what="disk for features",
            amount=kept * feature_bytes(config),
            unit="bytes",
            limit=10e12,
            way="a smaller grad.dim, grad.cascade, or a larger disk",
        ),
        Strain(what="files in a directory (a shard each)", amount=shards, unit="files", limit=1e5, way=larger),
        Strain(
            what="reading manifest.jsonl (by every command)",
            amount=LINES_PER_SHARD * shards * host.seconds_per_line,
            unit="seconds",
            limit=60,
            way=larger,
        ),
        Strain(
            what="reading features in select (on one machine)",
            amount=select_seconds(config, prompts, kept),
            unit="seconds",
            limit=3600,
            way="a smaller grad.dim, or grad.cascade",
        ),
    ]
    return sorted(found, key=lambda strain: -strain.share)


def feature_bytes(config: Config) -> int:
    """Bytes on disk that a prompt's gradient leaves."""
    each = {"float16": 2, "float32": 4}[config.grad.feature_dtype]
    return BYTES_PER_ALIGNMENT if config.grad.projection == "exact" else each * config.grad.dim


def select_seconds(config: Config, prompts: int, kept: int) -> float:
    """CPU seconds of `select` beyond its imports."""
    host = host_rates()
    read = kept * feature_bytes(config) / host.select_bytes_per_second
    return prompts * host.select_seconds_per_prompt + read
