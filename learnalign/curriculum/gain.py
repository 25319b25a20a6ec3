"""GAIN-RL's curriculum: a Gaussian over prompts sorted by angle concentration, moved by accuracy and angle (§3)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from learnalign.config import Config
from learnalign.errors import InputError, counted
from learnalign.policy import load_tokenizer
from learnalign.prompts import Prompt
from learnalign.rundir import RunDir
from learnalign.signals.concentration import concentrations

Measure = Callable[[Sequence[int], Any], Sequence[float]]


class GaussianSampler:
    """Draws ranks 1..`size` by the Gaussian of Eq. 8 and moves its mean by Eq. 9 and 10; knows ranks, not prompts.

    Args:
        size: N, ranked prompts.
        count: n, prompts of one step; at most `size`.
        seed: with the step's number, decides the draw.
        sigma: σ of Eq. 8, in ranks; None: n (the paper gives no value).
        alpha: α, sensitivity to accuracy.
        beta: β, the target accuracy.
        gamma: γ, sensitivity to angle concentration.
        step_min: the least step of μ, in ranks; None: Eq. 10 as it is. The authors' code has 0.
        option: what stands before a setting's name where the user sets it, for the warning.

    μ starts at 0 and is not clipped: a warning on stderr says once that it has left the ranks by more than 3σ, where the
    draws no longer change. Raises InputError if a step needs more prompts than there are.
    """

    def __init__(
        self,
        size: int,
        count: int,
        seed: int,
        *,
        sigma: float | None = None,
        alpha: float = 2.0,
        beta: float = 0.5,
        gamma: float = 0.5,
        step_min: float | None = None,
        option: str = "--set train.gain.",
    ) -> None:
        if count > size:
            raise InputError(
                f"curriculum gain: a step takes {count} different prompts, but there are {size}; lower "
                "train.batch_size or train on more prompts"
            )
        self.size, self.count, self.seed = size, count, seed
        self.sigma = float(count) if sigma is None else sigma
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.step_min = -math.inf if step_min is None else step_min
        self.mu, self.step, self.warned, self.option = 0.0, 0, False, option

    def log_weights(self) -> np.ndarray:
        """log P_t up to a constant, [N] float64, for ranks 1..N (Eq. 8)."""
        ranks = np.arange(1, self.size + 1, dtype=np.float64)
        return -((ranks - self.mu) ** 2) / (2 * self.sigma**2)

    def draw(self) -> list[int]:
        """n different ranks (from 1), drawn successively from P_t without replacement.

        Sorting log P + Gumbel noise gives the order of successive draws in log space, so no μ underflows.
        """
        noise = np.random.default_rng([self.seed, self.step]).gumbel(size=self.size)
        self.step += 1
        return [int(rank) + 1 for rank in np.argsort(-(self.log_weights() + noise), kind="stable")[: self.count]]

    def update(self, accuracy: float | None, concentration: float) -> None:
        """Moves μ by Eq. 10, from the step's mean accuracy in [0, 1] and mean C (Eq. 9).

        If no rollout was scored (None), the term of the accuracy is 0.
        """
        half = self.count / 2
        by_accuracy = 0.0 if accuracy is None else half * math.tanh(self.alpha * (accuracy - self.beta))
        self.mu += max(by_accuracy + half * math.tanh(self.gamma * concentration), self.step_min)
        if not self.warned and not -3 * self.sigma <= self.mu <= self.size + 3 * self.sigma:
            self.warned = True
            print(f"curriculum gain: {self._departure()}", file=sys.stderr)

    def _departure(self) -> str:
        """The warning about a μ that has left the ranks, with the ways out."""
        where = f"after step {self.step}, μ is {self.mu:.0f} for ranks 1 to {self.size} and σ = {self.sigma:g}"
        if self.mu < 0:
            return (
                f"{where}: the accuracy stays below {self.beta:g}, and every step draws from the same first prompts until "
                f"it rises; {self.option}step_min=0 keeps μ from going back (as the authors' code does), a lower beta aims "
                "at a lower accuracy"
            )
        return (
            f"{where}: μ has passed all prompts, and every step draws from the same last ones; train for fewer steps, or "
            f"slow μ down with a higher beta or a lower gamma ({self.option}beta, {self.option}gamma)"
        )

    def state_dict(self) -> dict[str, Any]:
        """μ, the number of draws, and whether μ's departure was reported."""
        return {"mu": self.mu, "step": self.step, "warned": self.warned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores `state_dict`."""
        self.mu, self.step, self.warned = float(state["mu"]), int(state["step"]), bool(state.get("warned"))


class Gain:
    """GAIN-RL as a curriculum of TRL's trainer.

    Args:
        order: rows of the training prompts, highest angle concentration first (Eq. 7).
        sampler: over the ranks of `order`.
        measure: C of the prompts of given rows under a model, by a prefill (Eq. 9).
    """

    redraws = 0

    def __init__(self, order: Sequence[int], sampler: GaussianSampler, measure: Measure) -> None:
        assert len(order) == sampler.size
        self.order, self.sampler, self.measure = list(order), sampler, measure

    def draw(self, count: int) -> list[int]:
        """Rows of the next step; `count` equals the sampler's."""
        assert count == self.sampler.count
        return [self.order[rank - 1] for rank in self.sampler.draw()]

    def update(self, rows: Sequence[int], success_rates: Sequence[float | None], model: Any) -> None:
        """Eq. 9 and 10: mean accuracy of the scored prompts, mean C of all prompts under the step's model."""
        scored = [rate for rate in success_rates if rate is not None]
        accuracy = float(np.mean(scored)) if scored else None
        self.sampler.update(accuracy, float(np.mean(self.measure(rows, model))))

    def metrics(self) -> dict[str, float]:
        return {"mu": self.sampler.mu}

    def state_dict(self) -> dict[str, Any]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state)


def make(run: RunDir, config: Config, prompts: Sequence[Prompt], count: int) -> Gain:
    """The curriculum of a training with settings `config`, `count` prompts a step; `run` has their angle signal."""
    from learnalign.curriculum.angles import Angles  # imports torch, which verl's samplers do not need

    order = rank_by_angle(run, [prompt.id for prompt in prompts], config.train.start)
    sampler = GaussianSampler(len(prompts), count, config.seed, **config.train.gain.model_dump())
    return Gain(order, sampler, Angles(prompts, load_tokenizer(config, run.template_time), run.config.signal))


def rank_by_angle(run: RunDir, ids: Sequence[str], trained: str | None = None) -> list[int]:
    """Rows of `ids` by descending angle concentration (Eq. 7), ties by ascending id.

    Raises InputError if the signal, or a prompt in it, is missing, or is of another model than `trained` (base or
    policy; None: not known here).
    """
    angles = concentrations(run, trained)
    missing = [id for id in ids if id not in angles]
    if missing:
        raise InputError(
            f"curriculum gain: {run.signal_file('angle')} has no angle for {len(missing)} of {counted(len(ids), 'prompt')} (the "
            f"first is {missing[0]}); train on prompts of this run's pool"
        )
    return sorted(range(len(ids)), key=lambda row: (-angles[ids[row]], ids[row]))
