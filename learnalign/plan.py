"""`--dry-run`: what a run would read, sample, compute and write, from the pool and the tokenizer alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from learnalign.config import Config, GrpoConfig
from learnalign.policy import load_tokenizer, prompt_ids
from learnalign.prompts import check_room, read_pool

BYTES_PER_TOKEN = 6  # of a stored rollout: an id and its text, compressed
BYTES_PER_ALIGNMENT = 40  # of a row of exact.parquet


@dataclass(frozen=True, kw_only=True)
class Work:
    """Upper bounds of one stage: prompts, tokens through the model, bytes of its files (None: those of a model)."""

    stage: str
    prompts: int
    tokens: int
    disk_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The resolved settings, the source's rows, those left out, the prompts that remain, and each stage's work."""

    config: Config
    rows: int
    left_out: int
    prompts: int
    stages: list[Work]


@dataclass(frozen=True)
class _PoolSize:
    """How many prompts there are, and their tokens together."""

    prompts: int
    tokens: int


def plan(config: Config, stages: Sequence[str]) -> Plan:
    """The work of `stages` (warmup, rollout, grad, train); writes nothing."""
    prompts, left_out, rows = read_pool(config.data)
    tokenizer = load_tokenizer(config)
    lengths = [len(prompt_ids(tokenizer, prompt.messages)) for prompt in prompts]
    check_room(config.data, lengths)
    lengths = [length for length in lengths if length <= config.data.max_prompt_tokens]
    pool = _PoolSize(len(lengths), sum(lengths))
    return Plan(
        config=config,
        rows=rows,
        left_out=len(left_out) + len(prompts) - pool.prompts,
        prompts=pool.prompts,
        stages=[_STAGES[stage](config, pool) for stage in stages],
    )


def _warmup(config: Config, pool: _PoolSize) -> Work:
    return _grpo("warmup", config.warmup, min(config.warmup.size, pool.prompts), pool)


def _train(config: Config, pool: _PoolSize) -> Work:
    return _grpo("train", config.train.over(config.warmup), pool.prompts, pool)


def _grpo(stage: str, settings: GrpoConfig, size: int, pool: _PoolSize) -> Work:
    completions = size * settings.num_train_epochs * settings.num_generations
    length = pool.tokens / max(1, pool.prompts) + settings.max_completion_length
    return Work(stage=stage, prompts=size, tokens=round(completions * length), disk_bytes=None)


def _rollout(config: Config, pool: _PoolSize) -> Work:
    sampled = pool.prompts * config.rollout.num_generations * config.rollout.max_completion_length
    return Work(
        stage="rollout", prompts=pool.prompts, tokens=pool.tokens + sampled, disk_bytes=sampled * BYTES_PER_TOKEN
    )


def _grad(config: Config, pool: _PoolSize) -> Work:
    rollouts = 1 if config.grad.rollouts == "one-correct" else config.rollout.num_generations
    tokens = rollouts * (pool.tokens + pool.prompts * config.rollout.max_completion_length)
    each = BYTES_PER_ALIGNMENT if config.grad.projection == "exact" else 4 * config.grad.dim
    return Work(stage="grad", prompts=pool.prompts, tokens=tokens, disk_bytes=pool.prompts * each)


_STAGES: dict[str, Callable[[Config, _PoolSize], Work]] = {
    "warmup": _warmup,
    "rollout": _rollout,
    "grad": _grad,
    "train": _train,
}
