"""What a run would read, sample, compute and write: for `--dry-run` from pool, tokenizer and verifier; for `plan` see `ahead`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from learnalign import gradients
from learnalign.checks import check
from learnalign.config import Config, GrpoConfig
from learnalign.executor import planned_workers
from learnalign.limits import BYTES_PER_SCORE, BYTES_PER_TOKEN, Strain, gradient_bytes, reference_bytes, used_rollouts
from learnalign.policy import ModelSize, load_tokenizer, model_size
from learnalign.prompts import (
    check_some,
    prepared_prompts,
    read_pool,
    reason_counts,
    stored_tokens,
    unusable_golds,
)
from learnalign.rates import Estimate, estimate, machine_for, rates_of
from learnalign.rollouts.engines.vllm_settings import gpus_of
from learnalign.rundir import Quarantined
from learnalign.tokenised import count_tokens
from learnalign.training.steps import kept_steps, planned_steps

if TYPE_CHECKING:
    from learnalign.pool_table import Prompts
    from learnalign.rundir import RunDir


SHARED = ("rollout", "grad")  # stages whose shards workers share


@dataclass(frozen=True, kw_only=True)
class Work:
    """Upper bounds of one stage: prompts, tokens sampled or read, bytes of its files; of a training, its steps and policies.

    `disk_bytes` is None for a training, whose files are those of `policies` models or adapters and, until its end, of so many
    `checkpoints` of all weights; exact gradients have `sums` of as many numbers until their end, each worker its own. `memory_bytes`
    is the least that a GPU must have, None if the model's size is not known. `time` is an estimate, with `workers` at once.
    """

    stage: str
    prompts: int
    tokens: int
    disk_bytes: int | None
    steps: int | None = None
    policies: int | None = None
    checkpoints: int = 0
    sums: int = 0
    memory_bytes: int | None = None
    workers: int = 1
    time: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The resolved settings, the source's rows, those left out and why, the prompts that remain with their tokens, the model's
    parameters, each stage's work, and how many prompts select would choose at most, if it is checked.

    `gpus` share rollout and grad, or as many of another `device` if the rates are its; `assumed` are sentences on what is not known
    yet; `strains` what grows with the pool, the worst first.
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
    gpus: int = 1
    device: str = "GPU"
    assumed: list[str] = field(default_factory=list)
    strains: list[Strain] = field(default_factory=list)

    @property
    def time(self) -> Estimate:
        """Of all stages, one after another."""
        times = [one.time for one in self.stages if one.time is not None]
        low, high = sum(time.low for time in times), sum(time.high for time in times)
        return Estimate(low=low, high=high, measured=all(time.measured for time in times))


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
    slices: int = 1,
) -> Plan:
    """The work of `stages` (warmup, rollout, grad, train), with the rates that `run` has measured; writes nothing.

    Times are those of the workers that the settings give to each of `slices` processes at once.

    Raises InputError for faults that would end one of the `checked` stages (default: `stages`), select among them, and unless
    `anyway` for golds that are whole solutions; those that TRL alone finds, if it is asked (`trl`).
    """
    read = read_source(config, run)
    checked = stages if checked is None else checked
    check(config, checked, read.prompts, lengths=read.lengths, run=run, anyway=anyway, trl=trl)
    pool = read.size
    model = model_size(config) if stages else None
    works = [replace(work(stage, config, pool, model), workers=workers(stage, config, slices)) for stage in stages]
    if model is not None:
        machine = machine_for(model.parameters)
        measured = rates_of(run.read_record() if run is not None else None)
        shards = -(-pool.prompts // config.executor.shard_size)
        works = [replace(one, time=_shared(one, estimate(one, config, machine, measured), shards)) for one in works]
    return Plan(
        config=config,
        rows=read.rows,
        left_out=len(read.left_out),
        prompts=pool.prompts,
        prompt_tokens=pool.tokens,
        stages=works,
        reasons=read.reasons,
        parameters=model.parameters if model is not None else None,
        chosen=chosen_of(config, pool) if "select" in checked else None,
    )


def workers(stage: str, config: Config, slices: int = 1) -> int:
    """How many workers a stage will have in the processes of all slices; raises InputError if it can have none."""
    if stage not in SHARED:
        return 1
    return slices * planned_workers(config.executor, _gpus_of_one(stage, config))


def _gpus_of_one(stage: str, config: Config) -> int:
    """GPUs of a worker of the stage."""
    if stage == "grad":
        return gradients.gpus_of(config)
    return gpus_of(config.rollout.vllm) if config.rollout.engine != "transformers" else 1


def _shared(work: Work, time: Estimate, shards: int) -> Estimate:
    """Of the work's workers. A rough time on a CPU is one of all its cores, which several workers share."""
    from learnalign.executor import visible_gpus

    one = work.workers == 1 or not (time.measured or visible_gpus())
    return time if one else time.over(work.workers, shards)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source's rows: the prompts that can be asked and scored, their tokens by id, and those left out."""

    prompts: Prompts
    lengths: dict[str, int]
    left_out: list[Quarantined]
    rows: int

    @property
    def size(self) -> PoolSize:
        return PoolSize(len(self.lengths), sum(self.lengths.values()))

    @property
    def reasons(self) -> dict[str, int]:
        return reason_counts({"reason": entry.reason} for entry in self.left_out)


def read_source(config: Config, run: RunDir | None = None) -> Source:
    """Read the pool, count its tokens and try its golds; raises InputError if no prompt is left.

    What `run` has prepared with the same settings is read from there.
    """
    if run is not None and (stored := prepared_prompts(run)) is not None and (counts := stored_tokens(stored)):
        reasons = [Quarantined(reason=line["reason"]) for line in run.quarantined() if line["stage"] == "pool"]
        return Source(prompts=stored, lengths=counts, left_out=reasons, rows=len(stored) + len(reasons))
    prompts, left_out, rows = read_pool(config.data)
    lengths, unaskable = count_tokens(config.data, load_tokenizer(config), prompts)
    prompts = prompts.without(entry.id for entry in unaskable)
    unusable = unusable_golds(config, prompts)
    prompts = prompts.without(entry.id for entry in unusable)
    for entry in unusable:
        del lengths[str(entry.id)]
    left_out = [*left_out, *unaskable, *unusable]
    check_some(config.data, lengths, left_out)
    return Source(prompts=prompts, lengths=lengths, left_out=left_out, rows=rows)


def chosen_of(config: Config, pool: PoolSize) -> int:
    """How many prompts select would choose at most; raises InputError if the pool has fewer."""
    from learnalign.selection.ranking import size_of

    return size_of(config.select.size, pool.prompts)


def work(stage: str, config: Config, pool: PoolSize, size: ModelSize | None = None) -> Work:
    """The work of warmup, rollout, grad, select or train on a pool of this size, with the memory of a model of this `size`."""
    one = _STAGES[stage](config, pool)
    return one if size is None or not one.prompts else replace(one, memory_bytes=_memory(one, config, size))


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
    stored = steps and settings.lora is None and settings.trainer.get("save_strategy") != "no"
    return Work(
        stage=stage,
        prompts=size,
        tokens=tokens,
        disk_bytes=None,
        steps=steps,
        policies=policies,
        checkpoints=2 if stored else 0,  # a new one is whole before the old one is deleted
    )


def _rollout(config: Config, pool: PoolSize) -> Work:
    sampled = pool.prompts * config.rollout.num_generations * config.rollout.max_completion_length
    return Work(
        stage="rollout", prompts=pool.prompts, tokens=pool.tokens + sampled, disk_bytes=sampled * BYTES_PER_TOKEN
    )


def _grad(config: Config, pool: PoolSize) -> Work:
    part = pool.part(kept_of(config, pool.prompts))
    tokens = (
        passes_of(config) * used_rollouts(config) * (part.tokens + part.prompts * config.rollout.max_completion_length)
    )
    disk_bytes = gradient_bytes(config, pool.prompts, part.prompts) + part.prompts * reference_bytes(config)
    sums = 2 if config.grad.projection == "exact" else 0  # a new one is whole before the old one is deleted
    return Work(stage="grad", prompts=part.prompts, tokens=tokens, disk_bytes=disk_bytes, sums=sums)


def passes_of(config: Config) -> int:
    """How often `grad` computes each gradient."""
    return 2 if config.grad.projection == "exact" else 1


def kept_of(config: Config, prompts: int) -> int:
    """The most prompts of which gradients are taken."""
    cascade = config.grad.cascade
    return prompts if cascade is None or not prompts else gradients.keep_of(cascade, prompts)


def _select(config: Config, pool: PoolSize) -> Work:
    return Work(stage="select", prompts=pool.prompts, tokens=0, disk_bytes=pool.prompts * BYTES_PER_SCORE)


def _memory(work: Work, config: Config, size: ModelSize) -> int | None:
    """The least bytes that a GPU must have: weights, what a training keeps of each, and one longest prompt with its completion."""
    weights, longest = (
        size.parameters * size.bytes_each,
        config.data.max_prompt_tokens + config.rollout.max_completion_length,
    )
    if work.stage == "rollout":
        return weights + longest * (size.cache_bytes or 0)
    if work.stage == "grad":
        mean = 4 * size.parameters if config.grad.projection == "exact" else 0  # Σ V_j ĝ_j / n, in float32
        return weights + mean + longest * (size.activation_bytes or 0)
    if work.stage in ("warmup", "train"):
        settings = config.warmup if work.stage == "warmup" else config.train.over(config.warmup)
        # float32 weights, gradients and AdamW's two moments, and π_ref; an adapter's own are small.
        return weights if settings.lora else size.parameters * (20 if settings.beta else 16)
    return None


_STAGES: dict[str, Callable[[Config, PoolSize], Work]] = {
    "warmup": _warmup,
    "rollout": _rollout,
    "grad": _grad,
    "select": _select,
    "train": _train,
}
