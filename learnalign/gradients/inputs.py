"""What the stage reads from a run directory: the samples whose gradients are taken, and the engine that takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnalign.config import Config, GradConfig
from learnalign.errors import RunError
from learnalign.gradients.capture.choice import check_choice, refuse_frozen
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout, advantages, used_rollouts
from learnalign.gradients.result import count_tokens
from learnalign.policy import load_policy, model_without_weights, needs_reference
from learnalign.policy.kernels import fused
from learnalign.rollouts.success import Success
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import read_parquet

COLUMNS = ["id", "sample", "prompt_ids", "completion_ids", "reward"]


@dataclass
class ShardSamples:
    """The samples of a shard, and how many of its prompts were skipped, by reason."""

    samples: list[Sample] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def why_skipped(success: Success | None, prompts: str) -> str | None:
    """Why the gradient of a prompt with this success is not taken; None if it is.

    If V = 0, the prompt's row and column of S are zero whatever its gradient. `prompts` "correct" asks for p > 0 instead, so that
    solved prompts have features too: the ablation without learnability (LearnAlign, Table 3) ranks these.
    """
    if success is None or not success.scored:
        return "unscored"
    if not success.correct:
        return "unsolved"
    if success.learnability == 0.0 and prompts == "learnable":
        return "solved"
    return None


def read_samples(
    rollouts_file: Path, success: Mapping[str, Success], config: GradConfig, cut: Container[str] = frozenset()
) -> ShardSamples:
    """The samples of a shard, in the order of its rollouts, without those that a cascade `cut`.

    Raises RunError for a rollout without tokens.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in read_parquet(rollouts_file, COLUMNS).to_pylist():
        groups.setdefault(row["id"], []).append(row)
    shard = ShardSamples()
    for id, group in groups.items():
        reason = why_skipped(success.get(id), config.prompts) or ("cascade" if id in cut else None)
        if reason is None:
            sample = to_sample(id, group, config.rollouts, config.prompts)
            reason = None if any(rollout.advantage for rollout in sample.rollouts) else "zero_advantage"
        if reason is None:
            shard.samples.append(sample)
        else:
            shard.skipped[reason] += 1
    return shard


def windows(
    shards: Iterable[Shard], read: Callable[[Shard], ShardSamples], tokens: Callable[[], int]
) -> Iterator[list[tuple[Shard, ShardSamples]]]:
    """Shards with their samples, as many together as it takes to have that many tokens, and at least one.

    `tokens` is asked after each shard, since the budget of a batch may change.
    """
    window, found = list[tuple[Shard, ShardSamples]](), 0
    for shard in shards:
        window.append((shard, read(shard)))
        found += count_tokens(window[-1][1].samples)
        if found >= tokens():
            yield window
            window, found = [], 0
    if window:
        yield window


def to_sample(id: str, group: list[dict[str, Any]], which: str, prompts: str = "learnable") -> Sample:
    """The rollouts of one prompt (rows of a part file) as a sample; advantages are over the whole group.

    GRPO gives a group of equal rewards no gradient. With `prompts` "correct", a rollout of a group that is all correct has advantage 1:
    its gradient is that of its own mean log-probability. It is the one exception to "zero advantage is skipped"; only its direction
    matters to a cosine, and this is the direction of any correct rollout.
    """
    group = sorted(group, key=lambda row: row["sample"])
    rewards = [row["reward"] for row in group]
    solved = prompts == "correct" and {reward for reward in rewards if reward is not None} == {1.0}
    advantage = [reward and 1.0 for reward in rewards] if solved else advantages(rewards)
    used = []
    for i in used_rollouts(rewards, which):
        if not group[i]["completion_ids"] or not group[i]["prompt_ids"]:
            raise RunError(
                f"rollout {group[i]['sample']} of prompt {id} has no tokens; delete its part file and run rollout again"
            )
        used.append(UsedRollout(group[i]["completion_ids"], float(advantage[i] or 0.0)))
    return Sample(id, group[0]["prompt_ids"], used)


def check_modules(config: Config) -> None:
    """Raise InputError at once, not after hours of rollouts, for a `grad.modules` that this model cannot have.

    A part that names nothing, or all and the model has fused experts and the like. Looks at names and kinds of layers only; the engine
    looks at what they compute.
    """
    if config.model.adapter or (config.warmup.size and config.warmup.lora):
        refuse_frozen(config.grad.modules)  # the adapter's own layers are known once it is there
    else:
        check_choice(model_without_weights(config), config.grad.modules)


def make_engine(run: RunDir, modules: str | None = None) -> GradientEngine:
    """The engine of a run, for samples with log π_ref of their tokens if β counts."""
    config = run.config
    settings = GradientSettings(
        seed=config.seed,
        beta=config.grad.beta if needs_reference(config) else 0.0,
        temperature=config.rollout.temperature,
        modules=modules or config.grad.modules,
        projection=config.grad.projection,
        dim=config.grad.dim,
        width=config.grad.width,
        batch_tokens=config.grad.batch_tokens,
    )
    return GradientEngine(fused(load_policy(run, spread=True), config.model.kernels), settings)
