"""ADARFT's curriculum: prompts nearest to a target difficulty that follows the reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from learnalign.config import Config
from learnalign.errors import InputError
from learnalign.policy import identify, other_than_policy
from learnalign.prompts import Prompt
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir

STEP, SENSITIVITY, AIM = 50.0, 2.0, 0.5
LOWEST, HIGHEST = 0.0, 100.0


class Adarft:
    """T ← clip(T + 50 tanh(2 (R̄ − 0.5)), 0, 100), from T = 0; a step takes the prompts with difficulty nearest to T.

    Args:
        difficulties: of every training prompt, 100 (1 − p), in [0, 100].
        seed: with the step's number, decides the order of equally near prompts.
    """

    redraws = 0

    def __init__(self, difficulties: Sequence[float], seed: int) -> None:
        self.difficulties = np.asarray(difficulties, dtype=np.float64)
        self.seed, self.target, self.step = seed, LOWEST, 0

    def draw(self, count: int) -> list[int]:
        """The `count` rows nearest to T; equally near ones in a seeded random order that changes each step."""
        if count > len(self.difficulties):
            raise InputError(
                f"curriculum adarft: a step takes {count} different prompts, but there are {len(self.difficulties)}; "
                "lower train.batch_size or train on more prompts"
            )
        rows = np.random.default_rng([self.seed, self.step]).permutation(len(self.difficulties))
        self.step += 1
        near = np.argsort(np.abs(self.difficulties[rows] - self.target), kind="stable")
        return [int(row) for row in rows[near[:count]]]

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Moves T by the mean success rate R̄ of the scored prompts; T stays if there are none."""
        scored = [rate for rate in success_rates if rate is not None]
        if scored:
            target = self.target + STEP * math.tanh(SENSITIVITY * (float(np.mean(scored)) - AIM))
            self.target = min(max(target, LOWEST), HIGHEST)

    def metrics(self) -> dict[str, float]:
        return {"target": self.target}

    def state_dict(self) -> dict[str, Any]:
        return {"target": self.target, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.target, self.step = float(state["target"]), int(state["step"])


def make(run: RunDir, config: Config, prompts: Sequence[Prompt], count: int) -> Adarft:
    """The curriculum of a training with settings `config`; `run` has the success rates of its prompts.

    Raises InputError if they are not those of the model that is trained.
    """
    check_rates(run, config.train.start)
    return Adarft(difficulties(run, [prompt.id for prompt in prompts]), config.seed)


def check_rates(run: RunDir, trained: str) -> None:
    """Raise InputError if the run's success rates, its policy's, are another model's than `trained`, base or policy."""
    if other_than_policy(run, identify(run, trained, "train.start")) is not None:
        raise InputError(
            f"curriculum adarft: the success rates of {run.path} are the policy's, but the model that is trained is "
            f"{trained}; train the policy with --start policy, name a column with difficulties "
            "(--set train.adarft.difficulty=COLUMN), or use a run directory without warmup (--set warmup.size=0)"
        )


def difficulties(run: RunDir, ids: Sequence[str]) -> list[float]:
    """100 (1 − p) of every prompt of `ids`, from success.parquet.

    Raises InputError if success.parquet is missing or stale, or lacks the rate of a prompt.
    """
    if not run.success_file.is_file():
        raise InputError(
            f"curriculum adarft: {run.success_file} does not exist; make it with `learnalign rollout {run.path}`"
        )
    rates = {id: row.success_rate for id, row in load_success(run).items() if row.success_rate is not None}
    missing = [id for id in ids if id not in rates]
    if missing:
        raise InputError(
            f"curriculum adarft: {run.success_file} has no success rate for {len(missing)} of {len(ids)} prompts (the "
            f"first is {missing[0]}); train on prompts of this run's pool that could be scored"
        )
    return [100 * (1 - rates[id]) for id in ids]
