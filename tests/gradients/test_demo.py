"""The embedded model on its own pool: projected cosines against those of whole gradients by plain autograd."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from learnalign import demo
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout, advantages, used_rollouts
from learnalign.policy import prompt_ids
from tests.gradients.tiny import brute_force, every_parameter


@pytest.fixture(scope="module")
def policy():
    return AutoModelForCausalLM.from_pretrained(demo.MODEL, dtype=torch.float32).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def samples(policy) -> list[Sample]:
    """The first correct rollout of each of the first 16 prompts that the model solves sometimes."""
    tokenizer = AutoTokenizer.from_pretrained(demo.MODEL)
    torch.manual_seed(0)
    chosen: list[Sample] = []
    for line in demo.POOL.read_text().splitlines():
        row = json.loads(line)
        ids = prompt_ids(tokenizer, [{"role": "user", "content": row["question"]}])
        inputs = torch.tensor([ids] * 8)
        output = policy.generate(
            inputs, attention_mask=torch.ones_like(inputs), do_sample=True, max_new_tokens=24, use_cache=True
        )
        answers = [until_end(answer, tokenizer.eos_token_id) for answer in output[:, len(ids) :].tolist()]
        rewards = [float(f"\\boxed{{{row['answer']}}}" in tokenizer.decode(answer)) for answer in answers]
        advantage = advantages(rewards)
        for i in used_rollouts(rewards, "one-correct"):
            if advantage[i]:
                chosen.append(Sample(line, ids, [UsedRollout(answers[i], float(advantage[i] or 0))]))
        if len(chosen) == 16:
            return chosen
    raise AssertionError("the embedded pool has too few prompts that are solved sometimes")


def until_end(answer: list[int], end: int) -> list[int]:
    return answer[: answer.index(end) + 1] if end in answer else answer


@pytest.mark.slow
@pytest.mark.parametrize("width", [160, 32])  # 32 is below every layer's width
def test_cosines_correlate_with_those_of_whole_gradients(policy, samples, width):
    full = brute_force(policy, every_parameter(policy), samples)
    features = GradientEngine(policy, GradientSettings(beta=0.0, dim=8192, width=width)).features(samples)
    pairs = torch.triu_indices(16, 16, 1)
    projected, exact = (
        (rows @ rows.T)[tuple(pairs)] for rows in map(torch.nn.functional.normalize, (features.double(), full.double()))
    )
    assert torch.corrcoef(torch.stack([projected, exact]))[0, 1] > 0.95
