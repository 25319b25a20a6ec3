"""Prefill: logits and cache equal those of whole prompts, with and without a shared prefix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from learnalign.policy import load_model
from learnalign.rollouts.engines.prefill import Prefill, common_prefix
from learnalign.rollouts.engines.slots import ATTENTION
from tests.rollouts.engines.requests import prompts
from tests.tiny import make_config


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([[1, 2, 3], [1, 2, 4]], [1, 2]),
        ([[1, 2, 3], [1, 2]], [1]),
        ([[1, 2], [1, 2]], [1]),
        ([[1], [2]], []),
        ([[5, 6, 7]], [5, 6]),
        ([[2, 1], [10, 1], [1, 1]], []),
    ],
)
def test_the_common_prefix_leaves_a_token_of_each(lists: list[list[int]], expected: list[int]) -> None:
    assert common_prefix(lists) == expected


@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_gives_the_logits_and_keys_of_each_prompt_alone(tmp_path: Path, shared: bool) -> None:
    config = make_config(tmp_path, kind="qwen2")
    lists = list(prompts(config, 5).values())
    plain = load_model(config)
    ours = load_model(config)
    ours.set_attn_implementation(ATTENTION)
    prefix = common_prefix(lists) if shared else []
    assert not shared or len(prefix) > 10
    with torch.inference_mode():
        logits, cache = Prefill(ours, prefix)(lists)
        for i, ids in enumerate(lists):
            out = plain(input_ids=torch.tensor([ids]), use_cache=True)
            torch.testing.assert_close(logits[i], out.logits[0, -1], rtol=1e-4, atol=1e-5)
            for (keys, values), layer in zip(cache, out.past_key_values.layers, strict=True):
                torch.testing.assert_close(keys[i, :, : len(ids)], layer.keys[0], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(values[i, :, : len(ids)], layer.values[0], rtol=1e-4, atol=1e-5)
