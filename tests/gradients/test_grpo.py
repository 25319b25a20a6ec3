"""Advantages, coefficients and which rollouts are used, against Eq. 1 and Eq. 7 and TRL's way to compute them."""

from __future__ import annotations

import pytest
import torch

from learnalign.errors import RunError
from learnalign.gradients.grpo import advantages, coefficients, used_rollouts
from learnalign.gradients.inputs import to_sample, why_skipped
from learnalign.rollouts.success import success_of


@pytest.mark.parametrize("rewards", [[1.0, 0.0, 0.0, 1.0], [0.0] * 7 + [1.0], [1.0, 0.0]])
def test_advantages_are_trls(rewards):
    values = torch.tensor(rewards, dtype=torch.float64)
    expected = (values - values.mean()) / (values.std() + 1e-4)
    assert advantages(rewards) == pytest.approx(expected.tolist())


def test_unscored_rollouts_have_no_advantage_and_no_part_in_the_others():
    values = advantages([1.0, None, 0.0, 0.0])
    assert values[1] is None
    assert [values[0], *values[2:]] == advantages([1.0, 0.0, 0.0])


@pytest.mark.parametrize("rewards", [[1.0, 1.0], [0.0], [1.0, None], [None, None]])
def test_a_group_without_differences_has_no_advantage(rewards):
    assert all(advantage in (0.0, None) for advantage in advantages(rewards))


def test_coefficients_are_those_of_equation_7():
    advantage, policy, reference = torch.randn(3, 20, dtype=torch.float64)
    expected = advantage + 0.04 * (reference.exp() / policy.exp() - 1)
    torch.testing.assert_close(coefficients(advantage, policy, reference, 0.04), expected)
    assert torch.equal(coefficients(advantage, policy, None, 0.0), advantage)


def test_one_correct_is_the_correct_rollout_with_the_lowest_sample_index():
    group = [
        {"id": "a", "sample": sample, "prompt_ids": [1], "completion_ids": [sample], "reward": reward}
        for sample, reward in [(3, 1.0), (0, 0.0), (2, None), (1, 1.0)]
    ]
    sample = to_sample("a", group, "one-correct")
    assert [completion.token_ids for completion in sample.rollouts] == [[1]]
    assert sample.rollouts[0].advantage == pytest.approx(advantages([0.0, 1.0, 1.0])[1])
    every = to_sample("a", group, "all")
    assert [completion.token_ids for completion in every.rollouts] == [[0], [1], [3]]  # the unscored one is not used


def test_used_rollouts_may_be_none():
    assert used_rollouts([0.0, None], "one-correct") == []
    assert used_rollouts([None], "all") == []


@pytest.mark.parametrize(
    ("success", "learnable", "correct"),
    [
        (None, "unscored", "unscored"),
        (success_of("a", 4, 0, 0), "unscored", "unscored"),
        (success_of("a", 4, 4, 0), "unsolved", "unsolved"),
        (success_of("a", 4, 4, 4), "solved", None),
        (success_of("a", 4, 4, 1), None, None),
    ],
)
def test_prompts_that_cannot_matter_are_skipped_for_a_reason(success, learnable, correct):
    assert why_skipped(success, "learnable") == learnable
    assert why_skipped(success, "correct") == correct


def test_a_rollout_without_tokens_is_refused_by_name():
    group = [{"id": "a", "sample": 0, "prompt_ids": [1], "completion_ids": [], "reward": 1.0}]
    with pytest.raises(RunError, match="rollout 0 of prompt a has no tokens"):
        to_sample("a", group, "all")
