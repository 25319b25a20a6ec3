"""ADARFT's curriculum: prompts nearest to a target difficulty that follows the reward."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from learnalign.columns import lookup
from learnalign.config import AdarftConfig, Config
from learnalign.errors import InputError, counted, listed_briefly, short
from learnalign.policy import identify, other_than_policy
from learnalign.prompts import Prompt
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir


class Adarft:
    """T ← clip(T + η tanh(α(R̄ − β)), d_min, d_max); a step takes the prompts with difficulty nearest to T.

    Args:
        difficulties: of every training prompt, in [d_min, d_max].
        seed: with the step's number, decides the order of equally near prompts.
        settings: η, α, β, d_min, d_max and the first T.
    """

    redraws = 0

    def __init__(self, difficulties: Sequence[float], seed: int, settings: AdarftConfig | None = None) -> None:
        self.difficulties = np.asarray(difficulties, dtype=np.float64)
        self.settings = settings = settings or AdarftConfig()
        self.target = settings.lowest if settings.start is None else settings.start
        self.seed, self.step = seed, 0

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
            own = self.settings
            target = self.target + own.step_size * math.tanh(
                own.sensitivity * (float(np.mean(scored)) - own.target_reward)
            )
            self.target = min(max(target, own.lowest), own.highest)

    def metrics(self) -> dict[str, float]:
        return {"target": self.target}

    def state_dict(self) -> dict[str, Any]:
        return {"target": self.target, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.target, self.step = float(state["target"]), int(state["step"])


def make(run: RunDir, config: Config, prompts: Sequence[Prompt], count: int) -> Adarft:
    """The curriculum of a training with settings `config` on `prompts`, of which `run` has the success rates.

    Raises InputError if the rates are not those of the model that is trained, unless difficulties come from a column.
    """
    settings, ids = config.train.adarft, [prompt.id for prompt in prompts]
    if settings.difficulty is None:
        check_rates(run, config.train.start)
    sources = ((prompt.row, json.loads(prompt.source)) for prompt in prompts)
    return Adarft(difficulties(run, settings, ids, sources), config.seed, settings)


def check_rates(run: RunDir, trained: str) -> None:
    """Raise InputError if the run's success rates, its policy's, are another model's than `trained`, base or policy."""
    if other_than_policy(run, identify(run, trained, "train.start")) is not None:
        raise InputError(
            f"curriculum adarft: the success rates of {run.path} are the policy's, but the model that is trained is "
            f"{trained}; train the policy with --start policy, name a column with difficulties "
            "(--set train.adarft.difficulty=COLUMN), or use a run directory without warmup (--set warmup.size=0)"
        )


def difficulties(
    run: RunDir, settings: AdarftConfig, ids: Sequence[str], sources: Iterable[tuple[int, Any]]
) -> list[float]:
    """The difficulty of every prompt: what its row of the training file says, else d_min + (d_max − d_min)(1 − p).

    Args:
        run: has success.parquet, which is read if `settings.difficulty` is null.
        settings: names the column and its range.
        ids: of the prompts.
        sources: number and columns of each prompt's row.

    Raises InputError for a row whose column holds no number in the range, and as `success_rates` does.
    """
    span = settings.highest - settings.lowest
    if settings.difficulty is None:
        return [settings.lowest + span * (1 - rate) for rate in success_rates(run, ids)]
    return [_difficulty(source, row, settings) for row, source in sources]


def _difficulty(source: Any, row: int, settings: AdarftConfig) -> float:
    assert settings.difficulty is not None
    column, lowest, highest = settings.difficulty.removeprefix("-"), settings.lowest, settings.highest
    found = lookup(source, column)
    try:
        value = math.nan if isinstance(found, bool) else float(found)
    except (TypeError, ValueError):
        value = math.nan
    if lowest <= value <= highest:
        return lowest + highest - value if settings.difficulty.startswith("-") else value
    problem = f"{found!r} is not a number" if math.isnan(value) else f"{value:g} is not from {lowest:g} to {highest:g}"
    raise InputError(
        f"train.adarft.difficulty: row {row}, column {short(column)}: {problem}; name a column of numbers (the row has "
        f"{listed_briefly(map(short, source))}), and its range with train.adarft.lowest and train.adarft.highest"
    )


def success_rates(run: RunDir, ids: Sequence[str]) -> list[float]:
    """p of every prompt of `ids`, from success.parquet.

    Raises InputError if success.parquet is missing or stale, or lacks the rate of a prompt.
    """
    if not run.success_file.is_file():
        raise InputError(
            f"curriculum adarft: {run.success_file} does not exist; make it with `learnalign rollout {run.quoted}`, or name "
            "a column of difficulties with train.adarft.difficulty"
        )
    rates = {id: row.success_rate for id, row in load_success(run).items() if row.success_rate is not None}
    missing = [id for id in ids if id not in rates]
    if missing:
        raise InputError(
            f"curriculum adarft: {run.success_file} has no success rate for {len(missing)} of {counted(len(ids), 'prompt')} (the "
            f"first is {missing[0]}); train on prompts of this run's pool that could be scored, or name a column of "
            "difficulties with train.adarft.difficulty"
        )
    return [rates[id] for id in ids]
