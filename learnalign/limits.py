"""What a large pool strains that more GPUs do not help with, and what breaks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learnalign.config import Config
from learnalign.policy import needs_reference
from learnalign.published import host_rates

BYTES_PER_TOKEN = 6  # of a stored rollout: an id and its text, compressed
BYTES_PER_ALIGNMENT = 40  # of a row of exact.parquet
BYTES_PER_SCORE = 150  # of a row of scores/METHOD.parquet
BYTES_PER_LOG_PROB = 4  # of a used token's log π_ref
SUM_BYTES = 4  # of a parameter in a sum of exact gradients
LINES_PER_FILE = 2  # of manifest.jsonl: before and after a file takes its place


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
    beside = shards if needs_reference(config) else 0  # log π_ref, beside the rollouts
    found = [
        Strain(
            what="memory of each process for prompts",
            amount=prompts * host.bytes_per_prompt,
            unit="bytes",
            limit=64e9,
            way="divide the pool into several run directories",
        ),
        Strain(
            what="disk for completions and log π_ref",
            amount=sampled * BYTES_PER_TOKEN + kept * reference_bytes(config),
            unit="bytes",
            limit=10e12,
            way="a smaller rollout.max_completion_length, rollout.adaptive, or a larger disk",
        ),
        Strain(
            what="disk for features",
            amount=gradient_bytes(config, prompts, kept),
            unit="bytes",
            limit=10e12,
            way="a smaller grad.dim, grad.cascade, or a larger disk",
        ),
        Strain(
            what="files in a directory (one or two a shard)",
            amount=shards + beside,
            unit="files",
            limit=1e5,
            way=larger,
        ),
        Strain(
            what="reading manifest.jsonl (by every command)",
            amount=LINES_PER_FILE * (2 * shards + beside) * host.seconds_per_line,
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


def used_rollouts(config: Config) -> int:
    """The most rollouts of a prompt whose gradients are taken."""
    return 1 if config.grad.rollouts == "one-correct" else config.rollout.num_generations


def reference_bytes(config: Config) -> int:
    """Bytes on disk that log π_ref of a prompt's used rollouts takes at most."""
    tokens = used_rollouts(config) * config.rollout.max_completion_length
    return tokens * BYTES_PER_LOG_PROB if needs_reference(config) else 0


def gradient_bytes(config: Config, prompts: int, kept: int) -> int:
    """Bytes on disk of the gradients of `kept` out of `prompts`, with the two sums of each shard."""
    if config.grad.projection == "exact":
        return kept * BYTES_PER_ALIGNMENT
    each = {"float16": 2, "float32": 4}[config.grad.feature_dtype]
    shards = -(-prompts // config.executor.shard_size)
    return (kept * each + shards * 2 * 8) * config.grad.dim


def select_seconds(config: Config, prompts: int, kept: int) -> float:
    """CPU seconds of `select` beyond its imports."""
    host = host_rates()
    read = gradient_bytes(config, prompts, kept) / host.select_bytes_per_second
    return prompts * host.select_seconds_per_prompt + read
