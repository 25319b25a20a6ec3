"""How long a training is: a step draws prompts, samples their completions once, and updates the policy once or more."""

from __future__ import annotations

import math

from learnalign.config import GrpoConfig
from learnalign.errors import InputError, counted

MOST_STEPS = 1_000_000  # eleven days at a second a step; the papers' trainings have a few hundred


def groups_per_step(settings: GrpoConfig, section: str) -> int:
    """Prompts of one step: batch_size / num_generations; raises InputError if it is not a whole number."""
    size, generations = settings.batch_size, settings.num_generations
    if generations < 2:
        raise InputError(f"{section}.num_generations: got {generations}, but at least 2 completions are compared")
    if size % generations:
        near = sorted({max(1, size // generations) * generations, (size // generations + 1) * generations})
        raise InputError(
            f"{section}.batch_size: got {counted(size, 'completion')}, which is not a multiple of {section}.num_generations "
            f"({generations}); choose {' or '.join(map(str, near))}"
        )
    return size // generations


def update_size(settings: GrpoConfig, section: str) -> int:
    """Completions of one optimiser update; raises InputError if a step is not a whole number of them."""
    size = settings.mini_batch_size or settings.batch_size
    if settings.batch_size % size:
        raise InputError(
            f"{section}.mini_batch_size: got {counted(size, 'completion')}, which does not divide {section}.batch_size "
            f"({settings.batch_size})"
        )
    return size


def check_shares(settings: GrpoConfig, section: str, processes: int) -> None:
    """Raise InputError unless the prompts of a step, and the completions of an update, can be shared equally by the processes."""
    groups, update = groups_per_step(settings, section), update_size(settings, section)
    fewer = [k for k in range(1, processes) if not groups % k and not update % k]
    way = f"start {' or '.join(map(str, fewer))} (accelerate launch --num_processes)"
    if groups % processes:
        near = sorted({max(1, groups // processes) * processes, (groups // processes + 1) * processes})
        sizes = " or ".join(str(each * settings.num_generations) for each in near)
        raise InputError(
            f"{section}.batch_size: {counted(settings.batch_size, 'completion')} are {counted(groups, 'prompt')} a step, which {processes} "
            f"processes cannot share equally; set it to {sizes}, which trains otherwise, or {way}"
        )
    if update % processes:
        raise InputError(
            f"{section}.mini_batch_size: {counted(update, 'completion')} an update cannot be shared equally by {processes} processes; give "
            f"a multiple of {processes}, or {way}"
        )


def planned_steps(settings: GrpoConfig, section: str, prompts: int) -> int:
    """Steps on `prompts` prompts: `steps`, or those of `num_train_epochs` passes; at least 1.

    Raises InputError if they are more than `MOST_STEPS`.
    """
    groups = groups_per_step(settings, section)
    visits = round(min(prompts * settings.num_train_epochs, 1e15))
    steps = settings.steps or max(1, math.ceil(visits / groups))
    if steps > MOST_STEPS:
        key = "num_train_epochs" if settings.steps is None else "steps"
        raise InputError(
            f"{section}.{key}: got {getattr(settings, key):g}, which makes more than the {MOST_STEPS:,} steps that a training can have; "
            "give less"
        )
    return steps


def kept_steps(planned: int, keep: int | None) -> list[int]:
    """Steps after which a policy is kept, rising: `keep` evenly spaced ones that end at `planned`; at most one a step."""
    count = min(keep or 1, planned)
    return sorted({max(1, round(planned * k / count)) for k in range(1, count + 1)})
