"""GAIN-RL's sampler against Eq. 8 by enumeration and Eq. 10 by hand."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from learnalign.config import load_config
from learnalign.curriculum.angles import Angles
from learnalign.curriculum.gain import Gain, GaussianSampler, rank_by_angle
from learnalign.errors import InputError
from learnalign.policy import load_model, load_policy, load_tokenizer, prompt_ids
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from learnalign.selection.methods import find_method
from learnalign.selection.pool import Pool
from learnalign.selection.scores import Scoring
from learnalign.signals import signal
from tests.tiny import make_run


def _ordered_probabilities(size: int, count: int, mu: float, sigma: float) -> dict[tuple[int, ...], float]:
    """P of every ordered draw of `count` ranks without replacement from Eq. 8, by enumeration."""
    weight = {i: math.exp(-((i - mu) ** 2) / (2 * sigma**2)) for i in range(1, size + 1)}
    probabilities = {}
    for draw in itertools.permutations(weight, count):
        chance, left = 1.0, sum(weight.values())
        for rank in draw:
            chance *= weight[rank] / left
            left -= weight[rank]
        probabilities[draw] = chance
    return probabilities


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 2.0), (2.6, 1.1), (9.0, 3.0)])
def test_draws_follow_equation_8_without_replacement(mu: float, sigma: float) -> None:
    sampler = GaussianSampler(5, 2, seed=11, sigma=sigma)
    sampler.mu = mu
    draws = 20_000
    seen = Counter(tuple(sampler.draw()) for _ in range(draws))
    expected = _ordered_probabilities(5, 2, mu, sigma)
    assert sum(expected.values()) == pytest.approx(1)
    assert seen.keys() <= expected.keys()
    statistic = sum((seen[draw] - draws * chance) ** 2 / (draws * chance) for draw, chance in expected.items())
    assert statistic < 43.8  # the 99.9 % point of chi-square with 19 degrees of freedom


def test_first_draws_follow_equation_8_from_mu_0() -> None:
    """The first draw of many runs: with μ_0 = 0 and σ = n, rank i has weight exp(−i²/2n²)."""
    first = Counter(GaussianSampler(6, 1, seed=seed, sigma=3).draw()[0] for seed in range(6000))
    weights = np.exp(-(np.arange(1, 7) ** 2) / 18)
    chance = weights / weights.sum()
    statistic = sum((first[i + 1] - 6000 * p) ** 2 / (6000 * p) for i, p in enumerate(chance))
    assert statistic < 20.5  # 5 degrees of freedom
    assert GaussianSampler(20, 6, seed=0).sigma == 6


def test_mu_moves_by_equation_10() -> None:
    """n = 6, α = 2, β = γ = 0.5; tanh 0.5 = 0.4621171573, tanh 0.1 = 0.0996679946, tanh 0.05 = 0.0499583750."""
    sampler = GaussianSampler(100, 6, seed=0)
    sampler.update(accuracy=0.75, concentration=0.2)
    assert sampler.mu == pytest.approx(3 * 0.4621171573 + 3 * 0.0996679946, abs=1e-8)
    sampler.update(accuracy=0.25, concentration=-0.1)
    assert sampler.mu == pytest.approx(3 * 0.0996679946 - 3 * 0.0499583750, abs=1e-8)
    sampler.update(accuracy=0.0, concentration=0.0)  # tanh(−1) = −0.7615941560: below 0, and not clipped
    assert sampler.mu == pytest.approx(0.1491288588 - 3 * 0.7615941560, abs=1e-8)
    before = sampler.mu
    sampler.update(accuracy=None, concentration=0.0)
    assert sampler.mu == before


@pytest.mark.parametrize(
    ("accuracy", "concentration", "mu"), [(0.1, 0.5, -10729), (0.2, 0.5, -7479), (0.3, 0.6, -2269)]
)
def test_a_weak_model_drives_mu_back_by_equation_10_and_step_min_holds_it(
    accuracy: float, concentration: float, mu: int
) -> None:
    """50 steps of n = 1,024 of GSM8K's 7,473 prompts; tanh x = (e^2x − 1)/(e^2x + 1), in closed form."""
    literal, clamped = (GaussianSampler(7473, 1024, seed=0, step_min=least) for least in (None, 0.0))
    for _ in range(50):
        for sampler in (literal, clamped):
            sampler.update(accuracy, concentration)
    step = 512 * sum(1 - 2 / (math.exp(2 * x) + 1) for x in (2 * (accuracy - 0.5), 0.5 * concentration))
    assert step < 0
    assert literal.mu == pytest.approx(50 * step)
    assert round(literal.mu) == mu
    assert clamped.mu == 0.0
    for sampler in (literal, clamped):
        sampler.update(1.0, 0.0)  # forward steps are the same: 512 tanh 1
    assert (literal.mu - 50 * step, clamped.mu) == (pytest.approx(389.9361614781), pytest.approx(389.9361614781))


def test_step_min_bounds_the_whole_step_from_below() -> None:
    """As the authors' code clamps the sum of both terms: −5 tanh 1 + 5 tanh 0.25 = −2.583, and −1.5 is the least."""
    sampler = GaussianSampler(100, 10, seed=0, step_min=-1.5)
    sampler.mu = 50.0
    sampler.update(0.0, 0.5)
    assert sampler.mu == 48.5
    sampler.update(0.5, -0.2)  # −5 tanh 0.1 = −0.498 is above it
    assert sampler.mu == pytest.approx(48.5 - 5 * math.tanh(0.1))


def test_alpha_0_leaves_the_angle_alone_and_gamma_0_the_accuracy() -> None:
    """The ablations of §4.5; both are settings that a run takes."""
    gain = load_config("demo", ["train.gain.alpha=0"]).train.gain
    angle = GaussianSampler(100, 10, seed=0, **gain.model_dump())
    for accuracy in (0.0, 1.0, None):
        before = angle.mu
        angle.update(accuracy, 0.6)
        assert angle.mu - before == pytest.approx(5 * math.tanh(0.3))
    accuracy_alone = GaussianSampler(100, 10, seed=0, gamma=0.0)
    accuracy_alone.update(0.75, 0.9)
    assert accuracy_alone.mu == pytest.approx(5 * math.tanh(0.5))


@pytest.mark.parametrize(
    ("accuracy", "leaves", "words"),
    [(0.0, -3 * 4, r"--set train\.gain\.step_min=0"), (1.0, 20 + 3 * 4, r"passed all prompts.*train\.gain\.beta")],
)
def test_mu_that_leaves_the_ranks_by_3_sigma_is_reported_once(
    accuracy: float, leaves: float, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sampler = GaussianSampler(20, 4, seed=0)
    for _ in range(100):
        inside = -12 <= sampler.mu <= 32
        sampler.update(accuracy, 0.0)
        if inside and not -12 <= sampler.mu <= 32:
            break
        assert capsys.readouterr().err == ""
    assert abs(sampler.mu - leaves) <= 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(words, line)
    resumed = GaussianSampler(20, 4, seed=0)
    resumed.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
    for each in (sampler, resumed):
        for way in (1 - accuracy, accuracy):
            for _ in range(40):
                each.update(way, 0.0)
    assert capsys.readouterr().err == ""


def test_a_mean_far_beyond_the_ranks_draws_the_last_ones() -> None:
    sampler = GaussianSampler(1000, 3, seed=0, sigma=1)
    sampler.mu = 1e6
    assert sorted(sampler.draw()) == [998, 999, 1000]
    assert np.isfinite(sampler.log_weights()).all()


def test_a_restored_sampler_continues_identically() -> None:
    one, other = (GaussianSampler(50, 4, seed=5) for _ in range(2))
    for _ in range(3):
        one.draw()
        one.update(0.9, 0.3)
    other.load_state_dict(one.state_dict())
    assert [other.draw() for _ in range(4)] == [one.draw() for _ in range(4)]


def test_a_step_larger_than_the_prompts_is_refused() -> None:
    with pytest.raises(InputError, match=r"takes 6 different prompts, but there are 5.*train\.batch_size"):
        GaussianSampler(5, 6, seed=0)


def test_an_update_takes_the_mean_of_scored_prompts_and_of_all_angles() -> None:
    calls: list[Any] = []

    def measure(rows: Any, model: Any) -> list[float]:
        calls.append((list(rows), model))
        return [0.1, 0.2, 0.6]

    gain = Gain([4, 2, 0, 3, 1], GaussianSampler(5, 3, seed=0), measure)
    rows = gain.draw(3)
    assert len(set(rows)) == 3
    assert set(rows) <= set(range(5))
    gain.update(rows, [1.0, None, 0.5], "model")
    assert calls == [(rows, "model")]
    assert gain.sampler.mu == pytest.approx(1.5 * math.tanh(2 * 0.25) + 1.5 * math.tanh(0.5 * 0.3))


def test_prompts_are_ranked_by_descending_angle_and_ids(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(InputError, match=r"learnalign signal .* angle"):
        rank_by_angle(run, ["a"])
    parts = {"c_intra": [0.0, 0.5, 0.4, None], "c_inter": [0.1, None, 0.1, None]}
    table = pa.table({"id": ["a", "b", "c", "d"], **parts})
    write_parquet(run.signal_file("angle"), table, "f")
    assert rank_by_angle(run, ["c", "a", "b"]) == [2, 0, 1]
    with pytest.raises(InputError, match=r"no angle for 1 of 2 prompts \(the first is d\)"):
        rank_by_angle(run, ["a", "d"])


def test_order_method_and_measure_take_the_same_c_after_its_weight_changes(tmp_path: Path) -> None:
    """Eq. 7's order, the method `gain` and the measure of Eq. 9, from one signal stored with c = 1."""
    run = make_run(tmp_path, data={"system_prompt": "Be brief."})
    signal(run, ["angle"])
    settings = run.config.signal.model_copy(update={"angle_weight": 2.0})
    changed = RunDir(run.path, run.config.model_copy(update={"signal": settings}))
    prompts, ids = load_prompts(run), [prompt.id for prompt in load_prompts(run)]
    measured = Angles(prompts, load_tokenizer(run.config), settings)(range(len(ids)), load_policy(run))
    order = rank_by_angle(changed, ids)
    assert order == sorted(range(len(ids)), key=lambda row: (-measured[row], ids[row]))
    assert order != rank_by_angle(run, ids)
    assert find_method("gain").score(Pool(changed), Scoring()).score.tolist() == pytest.approx(measured, abs=1e-6)


def test_angles_of_a_step_equal_the_full_matrix_under_the_given_model(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=4, data={"system_prompt": "Be brief."})
    prompts, tokenizer = load_prompts(run), load_tokenizer(run.config)
    model = load_model(run.config)
    model.train()
    angles = Angles(prompts, tokenizer, run.config.signal)([3, 1], model)
    assert model.training
    prefix = len(tokenizer("<|im_start|>system\nBe brief.<|im_end|>\n", add_special_tokens=False)["input_ids"])
    model.eval()
    for row, angle in zip([3, 1], angles, strict=True):
        ids = prompt_ids(tokenizer, prompts[row].messages)
        kept: list[torch.Tensor] = []
        hook = model.model.layers[-1].register_forward_hook(lambda _m, _i, output, kept=kept: kept.append(output))
        with torch.no_grad():
            model(torch.tensor([ids]))
        hook.remove()
        unit = torch.nn.functional.normalize(kept[0][0].double(), dim=-1)
        cosines = unit @ unit.T
        expected = cosines[prefix:, prefix:].mean() + cosines[prefix:, :prefix].mean()
        assert angle == pytest.approx(float(expected), abs=1e-5)
