"""The parts of a model are the same with an adapter around it, and hidden states are those that transformers returns."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import masking_utils

from learnalign.errors import InputError
from learnalign.policy import parts
from tests.gradients.tiny import SHAPE, tiny_model

TOKENS = torch.arange(1, 11).view(2, 5)


def test_an_adapter_does_not_change_the_parts():
    plain = tiny_model()
    expected = [plain.model, plain.lm_head, plain.model.embed_tokens, plain.model.layers]
    adapted = get_peft_model(plain, LoraConfig(r=2, target_modules=["q_proj"]))
    assert parts.is_adapted(adapted)
    assert not parts.is_adapted(parts.base_of(adapted))
    for model in (plain, adapted):
        name, blocks = parts.blocks_of(model)
        assert [parts.body_of(model), parts.head_of(model), parts.embedding_of(model), blocks] == expected
        assert model.get_submodule(name) is blocks
        assert parts.context_length(model) == SHAPE["max_position_embeddings"]


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_hidden_states_are_those_of_transformers(kind):
    model: Any = tiny_model(kind)
    states = model(input_ids=TOKENS, output_hidden_states=True).hidden_states
    assert torch.equal(parts.last_hidden(model, TOKENS), states[-1])
    assert torch.equal(model.model.norm(parts.last_block_output(model, TOKENS)), states[-1])


def test_a_pass_leaves_transformers_as_it_was():
    before = masking_utils.find_packed_sequence_indices
    parts.last_hidden(tiny_model(), TOKENS)
    with pytest.raises(KeyError), parts.replaced(masking_utils, "find_packed_sequence_indices", None):
        raise KeyError
    assert masking_utils.find_packed_sequence_indices is before
    owner = SimpleNamespace()
    with parts.replaced(owner, "missing", 1):
        assert not hasattr(owner, "missing")


def test_a_model_without_blocks_is_refused():
    model = tiny_model()
    model.model.layers = nn.ModuleList()
    with pytest.raises(InputError, match="no list of transformer blocks"):
        parts.blocks_of(model)


def test_peft_is_imported_with_the_first_adapter_only():
    code = "import sys, learnalign.policy.parts; sys.exit('peft' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
