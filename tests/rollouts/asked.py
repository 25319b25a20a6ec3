"""Requests to a tiny random model, and what plain `generate` answers to them."""

from __future__ import annotations

import torch

from learnalign.config import Config
from learnalign.policy import load_model, load_tokenizer, prompt_ids
from learnalign.rollouts import Request, seed_of

ROOM = 40


def prompts(config: Config, count: int = 12) -> dict[str, list[int]]:
    """Prompts of different lengths with a common beginning, by id."""
    tokenizer = load_tokenizer(config)
    texts = [f"What is {i} + {i**3}{'?' * (i % 4)}" for i in range(count)]
    return {f"p{i}": prompt_ids(tokenizer, [{"role": "user", "content": text}]) for i, text in enumerate(texts)}


def requests(config: Config, count: int = 12, samples: int = 4) -> list[Request]:
    """`samples` seeded samples of each of `count` prompts."""
    return [
        Request(id, ids, [seed_of(0, id, sample) for sample in range(samples)])
        for id, ids in prompts(config, count).items()
    ]


def greedy(config: Config, asked: list[Request], room: int = ROOM) -> dict[str, list[int]]:
    """What transformers' own generate takes as the most probable tokens, one prompt at a time."""
    model = load_model(config)
    answers = {}
    for request in asked:
        inputs = torch.tensor([list(request.prompt_ids)])
        out = model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=room, do_sample=False)
        answers[request.id] = out[0, inputs.shape[1] :].tolist()
    return answers
