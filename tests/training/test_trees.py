"""Completions that share a row have the log-probabilities that they have alone."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from learnalign.gradients.capture.sharing import tree_inputs
from learnalign.training.trees import Ids, arrange, plant
from tests.tiny import save_model


def _batch(seed: int, prompts: int, count: int) -> tuple[list[Ids], list[Ids]]:
    """`count` completions of 1 to 9 tokens, each of one of `prompts` prompts of 1 to 6 tokens, in no order."""
    drawn = random.Random(seed)

    def ids(most: int) -> Ids:
        return tuple(drawn.randrange(256) for _ in range(drawn.randint(1, most)))

    asked = [ids(6) for _ in range(prompts)]
    return [drawn.choice(asked) for _ in range(count)], [ids(9) for _ in range(count)]


def test_the_rows_predict_what_each_completion_has_alone(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path / "model"), dtype=torch.float64)
    for power in (0, 1, 3):  # all of a prompt to one row, some, one to a row
        prompts, completions = _batch(power, prompts=3, count=12)
        trees = plant(prompts, completions, 10, lambda tokens, power=power: tokens**power)  # type: ignore[misc]
        positions, mask = tree_inputs(trees.branches, model.dtype)
        logits = model(input_ids=trees.token_ids, position_ids=positions, attention_mask=mask).logits
        chosen = logits.log_softmax(-1).gather(2, trees.labels.clamp(min=0).unsqueeze(2)).squeeze(2)
        for prompt, ids, together in zip(prompts, completions, trees.pick(chosen), strict=True):
            alone = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            expected = alone[torch.arange(len(ids)), torch.tensor(ids)]
            assert torch.allclose(together[: len(ids)], expected, atol=1e-9, rtol=0)
            assert not together[len(ids) :].any()


def test_every_completion_has_one_place_beside_others_of_its_prompt() -> None:
    for seed in range(30):
        prompts, completions = _batch(seed, prompts=4, count=16)
        rows = arrange(prompts, completions, lambda tokens: tokens + tokens**2 / 30)
        assert sorted(i for row in rows for i in row) == list(range(16))
        assert all(len({prompts[i] for i in row}) == 1 for row in rows)


def test_a_row_holds_more_completions_the_less_its_length_costs() -> None:
    prompts, completions = [(1,) * 20] * 8, [(2,) * 5] * 8
    assert len(arrange(prompts, completions, lambda tokens: tokens)) == 1
    assert len(arrange(prompts, completions, lambda tokens: tokens**4)) == 8
