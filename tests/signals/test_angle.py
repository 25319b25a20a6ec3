"""Angle concentration against the whole matrix of cosines, and the place where the question begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from learnalign.policy import prompt_ids
from learnalign.signals.angle import angle_concentration
from learnalign.signals.segments import prefix_length
from tests.signals.models import sequences, tiny
from tests.tiny import CHATML, save_tokenizer


def full_matrix(model: Any, prompt: list[int], n: int) -> tuple[float, float | None]:
    """Eq. 5 literally, in float64: the cosine of every pair of tokens, one prompt at a time."""
    blocks = model.base_model.h if hasattr(model.base_model, "h") else model.base_model.layers
    captured: list[torch.Tensor] = []
    handle = blocks[-1].register_forward_hook(
        lambda m, a, out: captured.append(out if torch.is_tensor(out) else out[0])
    )
    with torch.no_grad():
        model(torch.tensor([prompt]))
    handle.remove()
    last = captured[0][0].double().numpy()
    m = len(last)
    cosines = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            cosines[i, j] = last[i] @ last[j] / np.linalg.norm(last[i]) / np.linalg.norm(last[j])
    intra = cosines[n:, n:].sum() / (m - n) ** 2
    return intra, (cosines[n:, :n].sum() / ((m - n) * n) if n else None)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_equals_the_full_matrix_for_short_long_and_padded_prompts(kind: str) -> None:
    model = tiny(kind)
    prompts, prefixes = sequences(1, 2, 30, 7, 12), [0, 1, 11, 0, 11]
    intra, inter = angle_concentration(model, prompts, prefixes)
    for i, (prompt, n) in enumerate(zip(prompts, prefixes, strict=True)):
        expected = full_matrix(model, prompt, n)
        assert intra[i] == pytest.approx(expected[0], rel=1e-9)
        assert inter[i] == (expected[1] if expected[1] is None else pytest.approx(expected[1], rel=1e-9))


def test_a_single_token_is_in_line_with_itself() -> None:
    assert angle_concentration(tiny(), sequences(1), [0]) == ([pytest.approx(1.0)], [None])


def test_a_prompt_has_the_same_parts_alone_and_in_a_batch() -> None:
    model = tiny(dtype=torch.float32)
    prompts, prefixes = sequences(9, 25, 4, 16), [3, 5, 0, 15]
    together = angle_concentration(model, prompts, prefixes)
    for i in range(4):
        alone = angle_concentration(model, [prompts[i]], [prefixes[i]])
        assert alone[0][0] == pytest.approx(together[0][i], abs=1e-6)
        if prefixes[i]:
            assert alone[1][0] == pytest.approx(together[1][i], abs=1e-6)


def test_bfloat16_states_are_summed_in_float32() -> None:
    model, (prompt,) = tiny(dtype=torch.bfloat16), sequences(100)
    intra, inter = angle_concentration(model, [prompt], [40])
    assert (intra[0], inter[0]) == pytest.approx(full_matrix(model, prompt, 40), abs=1e-6)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


QUESTION = turn("user", "What is 1 + 1?")
EXAMPLES = [turn("user", "What is 1 + 1?"), turn("assistant", "2")]
QWEN = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}" + CHATML
)  # adds a system prompt of its own, as Qwen2.5's does
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.last %}"
    "<think>\n\n</think>{% endif %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)  # writes the last assistant's turn differently, as Qwen3's does
MERGES = (
    "{% if messages[0]['role'] == 'system' %}"
    "[INST] {{ messages[0]['content'] }}\n\n{{ messages[1]['content'] }} [/INST]"
    "{% else %}{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}{% endif %}"
)  # writes the system prompt into the user's turn, as Llama 2's does


@pytest.mark.parametrize(
    ("template", "messages", "prefix"),
    [
        (CHATML, [QUESTION], ""),
        (CHATML, [turn("system", "Think."), QUESTION], "<|im_start|>system\nThink.<|im_end|>\n"),
        (
            CHATML,
            [*EXAMPLES, QUESTION],
            "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n",
        ),
        (QWEN, [QUESTION], "<|im_start|>system\nYou are helpful.<|im_end|>\n"),
        (THINKS, [QUESTION], ""),
        (THINKS, [turn("system", "Think."), QUESTION], "<|im_start|>system\nThink.<|im_end|>\n"),
        (MERGES, [turn("system", "Think."), QUESTION], "[INST] Think.\n\n"),
        ("<|im_start|>" + MERGES, [QUESTION], ""),
    ],
)
def test_the_first_segment_is_the_templates_prefix(tmp_path: Any, template: str, messages: Any, prefix: str) -> None:
    tokenizer = save_tokenizer(tmp_path)
    tokenizer.chat_template = template
    tokenizer.bos_token = "<|im_start|>"
    length = prefix_length(tokenizer, messages)
    assert tokenizer.decode(prompt_ids(tokenizer, messages)[:length]) == prefix


def test_the_first_segment_is_not_what_questions_happen_to_share(tmp_path: Any) -> None:
    tokenizer = save_tokenizer(tmp_path)
    lengths = [prefix_length(tokenizer, [turn("user", f"What is {i} + {i}?")]) for i in range(3)]
    assert lengths == [0, 0, 0]
