"""Stage 1: a short GRPO run on a random subset turns the base model into the policy θ_s (LearnAlign §4.4, step 1)."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

from learnalign.curriculum import Shuffled
from learnalign.policy import model_path
from learnalign.prompts import Prompt, load_prompts
from learnalign.rundir import RunDir
from learnalign.training.job import Job, optimise


@dataclass(frozen=True, kw_only=True)
class WarmupResult:
    """The policy and how it came about; `trained` is False where `warmup.size` is 0 and the policy is the base
    model.
    """

    policy: str
    trained: bool
    prompts: int
    steps: int
    unscored: int = 0
    metrics: Path | None = None


def warmup(run: RunDir) -> WarmupResult:
    """Train the policy with GRPO (Eq. 1) on `warmup.size` prompts of the pool, drawn by `warmup.seed` (or the run's
    seed).

    Where the pool is smaller than that, all of it is taken and the command says so; `warmup.size: 0` trains nothing.
    The policy is saved in DIR/warmup with its tokenizer and metrics.jsonl; checkpoints lie in DIR/work/warmup until
    then, and an interrupted warmup goes on from there and ends bitwise the same. Raises InputError for settings that do
    not fit, RunError for a run that cannot go on (disk, memory, divergence).
    """
    prompts, size = load_prompts(run), run.config.warmup.size
    if run.is_finished("warmup"):
        counts = run.read_record()["stages"]["warmup"]["counts"]
        return _result(run, counts["prompts"], counts["steps"], counts["unscored"])
    with run.stage("warmup") as record:
        record.counts |= {"prompts": 0, "steps": 0, "unscored": 0}
        if size:
            chosen = draw(prompts, size, run.config.seed if run.config.warmup.seed is None else run.config.warmup.seed)
            if len(chosen) < size:
                record.notes["smaller_pool"] = (
                    f"warmup.size is {size}, but the pool has {len(chosen)} prompts: all were taken"
                )
                print(f"warmup: {record.notes['smaller_pool']}", file=sys.stderr)
            job = Job(
                section="warmup",
                settings=run.config.warmup,
                prompts=chosen,
                curriculum=Shuffled(len(chosen), run.config.seed),
                start=model_path(run.config),
                work=run.path / "work" / "warmup",
                output=run.warmup_dir,
            )
            outcome = optimise(run, job)
            record.counts |= {"prompts": len(chosen), "steps": outcome.steps, "unscored": outcome.unscored}
            record.notes |= {"resumed_steps": outcome.resumed, "disk_bytes": outcome.disk_bytes}
    return _result(run, **record.counts)


def draw(prompts: list[Prompt], size: int, seed: int) -> list[Prompt]:
    """`size` prompts at random (all of them where there are fewer), in the pool's order; the same for the same pool
    and seed.
    """
    rows = random.Random(f"warmup {seed}").sample(range(len(prompts)), min(size, len(prompts)))
    return [prompts[row] for row in sorted(rows)]


def _result(run: RunDir, prompts: int, steps: int, unscored: int) -> WarmupResult:
    if not prompts:
        return WarmupResult(policy=model_path(run.config), trained=False, prompts=0, steps=0)
    metrics = run.warmup_dir / "metrics.jsonl"
    return WarmupResult(
        policy=str(run.warmup_dir), trained=True, prompts=prompts, steps=steps, unscored=unscored, metrics=metrics
    )
