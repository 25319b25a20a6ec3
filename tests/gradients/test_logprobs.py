"""The head's chunked forward and backward against autograd on whole logits."""

from __future__ import annotations

import pytest
import torch

from learnalign.gradients import logprobs
from learnalign.gradients.logprobs import hidden_gradient, token_log_probs


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_gradients_of_hidden_states_and_head_are_autograds(monkeypatch, bias, temperature, chunk):
    monkeypatch.setitem(logprobs.CHUNK_ENTRIES, "cpu", chunk)
    torch.manual_seed(0)
    head = torch.nn.Linear(12, 50, bias=bias, dtype=torch.float64)
    hidden = torch.randn(40, 12, dtype=torch.float64, requires_grad=True)
    token_ids = torch.randint(0, 50, (40,))
    advantage, weight, reference = torch.randn(40), torch.rand(40), -3 * torch.rand(40)
    log_probs = torch.log_softmax(head(hidden) / temperature, -1).gather(1, token_ids[:, None]).squeeze(1)
    c = advantage + 0.3 * (torch.exp(reference - log_probs.detach()) - 1)
    expected = torch.autograd.grad((weight * c * log_probs).sum(), [hidden, *head.parameters()])
    weight_gradient = torch.zeros_like(head.weight)

    def take(part, states, delta):
        weight_gradient.add_(delta.T @ states)

    with torch.no_grad():
        tokens = (token_ids, advantage.double(), weight.double(), reference.double(), head)
        gradient = hidden_gradient(hidden, *tokens, temperature=temperature, beta=0.3, head_sink=take)
        torch.testing.assert_close(token_log_probs(hidden, token_ids, head, temperature), log_probs)
    torch.testing.assert_close(gradient, expected[0])
    torch.testing.assert_close(weight_gradient, expected[1])


def test_a_token_that_is_almost_certain_keeps_its_gradient_in_bfloat16():
    head = torch.nn.Linear(1, 2, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[8.0], [0.0]]))
        hidden = torch.ones(1, 1, dtype=torch.bfloat16)
        one = torch.ones(1)
        gradient = hidden_gradient(hidden, torch.tensor([0]), one, one, None, head, temperature=1.0, beta=0.0)
    rest = 1 / (1 + torch.tensor(8.0).exp())  # 1 − p = 0.0003, far below bfloat16's spacing at 1
    assert gradient.item() == pytest.approx(8.0 * rest.item(), rel=0.02)
