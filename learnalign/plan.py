"""`--dry-run`: what a run would read, sample, compute and write, from the pool, the tokenizer and the verifier alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from learnalign.checks import check
from learnalign.config import Config, GrpoConfig
from learnalign.policy import load_tokenizer
from learnalign.prompts import check_some, count_tokens, read_pool, reason_counts, unusable_golds
from learnalign.rates import Estimate, estimate, machine_for, rates_of
from learnalign.training.steps import kept_steps, planned_steps

if TYPE_CHECKING:
    from learnalign.rundir import RunDir

BYTES_PER_TOKEN = 6  # of a stored rollout: an id and its text, compressed
BYTES_PER_ALIGNMENT = 40  # of a row of exact.parquet
_BYTES = {"float16": 2, "float32": 4}  # of an entry of a feature


@dataclass(frozen=True, kw_only=True)
class Work:
    """Upper bounds of one stage: prompts, tokens sampled or read, bytes of its files; of a training, its steps and policies.

    `disk_bytes` is None for a training, whose files are those of `policies` models or adapters. `time` is an estimate.
    """

    stage: str
    prompts: int
    tokens: int
    disk_bytes: int | None
    steps: int | None = None
    policies: int | None = None
    time: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The resolved settings, the source's rows, those left out and why, the prompts that remain with their tokens, the model's
    parameters, each stage's work, and how many prompts select would choose at most, if it is checked.
    """

    config: Config
    rows: int
    left_out: int
    prompts: int
    prompt_tokens: int
    stages: list[Work]
    reasons: dict[str, int] = field(default_factory=dict)
    parameters: int | None = None
    chosen: int | None = None


@dataclass(frozen=True)
class PoolSize:
    """How many prompts there are, and their tokens together."""

    prompts: int
    tokens: int

    def part(self, prompts: int) -> PoolSize:
        """That many of them, of average length."""
        return PoolSize(prompts, round(self.tokens * prompts / max(1, self.prompts)))


def plan(
    config: Config,
    stages: Sequence[str],
    checked: Sequence[str] | None = None,
    run: RunDir | None = None,
    *,
    anyway: bool = True,
    trl: bool = True,
) -> Plan:
    """The work of `stages` (warmup, rollout, grad, train), with the rates that `run` has measured; writes nothing.

    Raises InputError for faults that would end one of the `checked` stages (default: `stages`), select among them, and unless
    `anyway` for golds that are whole solutions; those that TRL alone finds, if it is asked (`trl`).
    """
    prompts, left_out, rows = read_pool(config.data)
    lengths, unaskable = count_tokens(config.data, load_tokenizer(config), prompts)
    prompts = prompts.without(entry.id for entry in unaskable)
    unusable = unusable_golds(config, prompts)
    prompts = prompts.without(entry.id for entry in unusable)
    for entry in unusable:
        del lengths[str(entry.id)]
    left_out = [*left_out, *unaskable, *unusable]
    check_some(config.data, lengths, left_out)
    check(config, stages if checked is None else checked, prompts, lengths=lengths, run=run, anyway=anyway, trl=trl)
    pool = PoolSize(len(lengths), sum(lengths.values()))
    machine = machine_for(config) if stages else None
    works = [work(stage, config, pool) for stage in stages]
    if machine is not None:
        measured = rates_of(run.read_record() if run is not None else None)
        works = [replace(one, time=estimate(one, config, machine, measured)) for one in works]
    return Plan(
        config=config,
        rows=rows,
        left_out=len(left_out),
        prompts=pool.prompts,
        prompt_tokens=pool.tokens,
        stages=works,
        reasons=reason_counts({"reason": entry.reason} for entry in left_out),
        parameters=machine.parameters if machine is not None else None,
        chosen=_chosen(config, pool) if "select" in (stages if checked is None else checked) else None,
    )


def _chosen(config: Config, pool: PoolSize) -> int:
    from learnalign.selection.ranking import size_of

    return size_of(config.select.size, pool.prompts)


def work(stage: str, config: Config, pool: PoolSize) -> Work:
    """The work of warmup, rollout, grad or train on a pool of this size."""
    return _STAGES[stage](config, pool)


def _warmup(config: Config, pool: PoolSize) -> Work:
    return _training("warmup", config.warmup, min(config.warmup.size, pool.prompts), pool, 1)


def _train(config: Config, pool: PoolSize) -> Work:
    keep = config.train.keep_checkpoints
    return _training("train", config.train.over(config.warmup), pool.prompts, pool, keep)


def _training(stage: str, settings: GrpoConfig, size: int, pool: PoolSize, keep: int | None) -> Work:
    steps = planned_steps(settings, stage, size) if size else 0
    length = pool.tokens / max(1, pool.prompts) + settings.max_completion_length
    tokens = round(steps * settings.batch_size * length)
    policies = len(kept_steps(steps, keep)) if steps else 0
    return Work(stage=stage, prompts=size, tokens=tokens, disk_bytes=None, steps=steps, policies=policies)


def _rollout(config: Config, pool: PoolSize) -> Work:
    sampled = pool.prompts * config.rollout.num_generations * config.rollout.max_completion_length
    return Work(
        stage="rollout", prompts=pool.prompts, tokens=pool.tokens + sampled, disk_bytes=sampled * BYTES_PER_TOKEN
    )


def _grad(config: Config, pool: PoolSize) -> Work:
    rollouts = 1 if config.grad.rollouts == "one-correct" else config.rollout.num_generations
    tokens = rollouts * (pool.tokens + pool.prompts * config.rollout.max_completion_length)
    each = (
        BYTES_PER_ALIGNMENT
        if config.grad.projection == "exact"
        else _BYTES[config.grad.feature_dtype] * config.grad.dim
    )
    return Work(stage="grad", prompts=pool.prompts, tokens=tokens, disk_bytes=pool.prompts * each)


_STAGES: dict[str, Callable[[Config, PoolSize], Work]] = {
    "warmup": _warmup,
    "rollout": _rollout,
    "grad": _grad,
    "train": _train,
}
