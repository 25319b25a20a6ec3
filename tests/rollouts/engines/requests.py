"""Requests to a tiny random model, and what plain `generate` answers to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from learnalign.config import Config
from learnalign.policy import load_model, load_tokenizer, prompt_ids
from learnalign.randomness import seed_of
from learnalign.rollouts import Request

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
        answers[request.id] = most_probable(model, request, room)
    return answers


def most_probable(model: Any, request: Request, room: int) -> list[int]:
    """What `generate` of transformers takes as the most probable tokens."""
    inputs = torch.tensor([list(request.prompt_ids)])
    out = model.generate(input_ids=inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=room, do_sample=False)
    return out[0, inputs.shape[1] :].tolist()


def save_adapter(config: Config, path: Path) -> Any:
    """A random LoRA adapter of the tiny model in `path`; returns the model with it merged in."""
    model = get_peft_model(load_model(config), LoraConfig(r=4, target_modules="all-linear"))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    model.save_pretrained(str(path))
    return model.merge_and_unload()  # type: ignore[operator]
