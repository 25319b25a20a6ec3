"""Stage 1: a short GRPO run on a random subset turns the base model into the policy θ_s (LearnAlign §4.4, step 1)."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.config import Config
from learnalign.curriculum import Shuffled
from learnalign.errors import InputError, counted
from learnalign.golds import refuse_solutions
from learnalign.policy import model_path, reference_path
from learnalign.prompts import Prompt, load_prompts
from learnalign.rundir import RunDir, check_inside

if TYPE_CHECKING:
    from learnalign.training.job import JobResult


@dataclass(frozen=True, kw_only=True)
class WarmupResult:
    """The policy and its training; `trained` is False if `warmup.size` is 0 and the policy is the base model."""

    policy: str
    trained: bool
    prompts: int
    steps: int
    unscored: int = 0
    metrics: Path | None = None


def warmup(run: RunDir, anyway: bool = False) -> WarmupResult:
    """Train the policy with GRPO (Eq. 1) on `warmup.size` prompts of the pool, drawn by `warmup.seed` (or the run's
    seed).

    A smaller pool is taken whole, with a message; `warmup.size: 0` trains nothing. The policy is saved in DIR/warmup
    with its tokenizer and metrics.jsonl. Checkpoints are in DIR/work/warmup until then; an interrupted warmup resumes
    from them and ends bitwise the same. Raises InputError for invalid settings, RunError for a run that cannot continue
    (disk, memory, divergence). Golds that are whole solutions are refused, unless `anyway`.
    π_ref of its objective is `model.reference`, or else the base model.
    """
    prompts, size = load_prompts(run), run.config.warmup.size
    if size:
        refuse_adapter(run.config)
    if run.is_finished("warmup"):
        counts = run.read_record()["stages"]["warmup"]["counts"]
        return _result(run, counts["prompts"], counts["steps"], counts["unscored"])
    if size and not anyway:
        refuse_solutions(run.config, prompts)
    with run.stage("warmup") as record:
        record.counts |= {"prompts": 0, "steps": 0, "unscored": 0}
        if size:
            chosen = draw_subset(prompts, run.config)
            if len(chosen) < size:
                record.notes["smaller_pool"] = (
                    f"warmup.size is {size}, but the pool has {counted(len(chosen), 'prompt')}: all were taken"
                )
                print(f"warmup: {record.notes['smaller_pool']}", file=sys.stderr)
            result = _optimise(run, chosen)
            record.counts |= {"prompts": len(chosen), "steps": result.steps, "unscored": result.unscored}
            record.notes |= {"resumed_steps": result.resumed, "disk_bytes": result.disk_bytes}
    return _result(run, **record.counts)


def refuse_adapter(config: Config) -> None:
    """Raise InputError if there is a `model.adapter`, which warmup would leave out."""
    if config.model.adapter is not None:
        raise InputError(
            f"model.adapter {config.model.adapter}: warmup would train the base model without it; set warmup.size to 0 to "
            "use the adapter as it is, or merge it into its base model and give that as model.name"
        )


def draw_subset(prompts: Sequence[Prompt], config: Config) -> list[Prompt]:
    """The prompts that warmup trains on."""
    seed = config.seed if config.warmup.seed is None else config.warmup.seed
    return draw(prompts, config.warmup.size, seed)


def draw(prompts: Sequence[Prompt], size: int, seed: int) -> list[Prompt]:
    """`size` prompts at random (all if there are fewer), in the pool's order; pool and seed decide which."""
    rows = random.Random(f"warmup {seed}").sample(range(len(prompts)), min(size, len(prompts)))
    return [prompts[row] for row in sorted(rows)]


def _optimise(run: RunDir, prompts: Sequence[Prompt]) -> JobResult:
    from learnalign.training.job import Job, optimise  # seconds of imports, needed only to train

    work = run.path / "work" / "warmup"
    check_inside(run.path, work)
    job = Job(
        section="warmup",
        settings=run.config.warmup,
        prompts=prompts,
        curriculum=Shuffled(len(prompts), run.config.seed),
        start=model_path(run.config),
        reference=None if run.config.model.is_reference else reference_path(run.config),
        work=work,
        output=run.warmup_dir,
    )
    return optimise(run, job)


def _result(run: RunDir, prompts: int, steps: int, unscored: int) -> WarmupResult:
    if not prompts:
        return WarmupResult(policy=model_path(run.config), trained=False, prompts=0, steps=0)
    metrics = run.warmup_dir / "metrics.jsonl"
    return WarmupResult(
        policy=str(run.warmup_dir), trained=True, prompts=prompts, steps=steps, unscored=unscored, metrics=metrics
    )
