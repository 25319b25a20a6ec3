"""`--dry-run`: what a run would read, sample, compute and write, from the pool and the tokenizer alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learnalign.config import Config, dump_config
from learnalign.policy import load_tokenizer, prompt_ids
from learnalign.prompts import read_pool

BYTES_PER_TOKEN = 6  # of a stored rollout: an id and its text, compressed


def plan(config: Config, stages: Sequence[str]) -> dict[str, Any]:
    """The resolved config, and prompts, tokens and disk of each of `stages` as upper bounds; writes nothing."""
    prompts, left_out, rows = read_pool(config.data)
    tokenizer = load_tokenizer(config)
    lengths = [len(prompt_ids(tokenizer, prompt.messages)) for prompt in prompts]
    lengths = [length for length in lengths if length <= config.data.max_prompt_tokens]
    count, questions = len(lengths), sum(lengths)
    return {
        "config": dump_config(config),
        "rows": rows,
        "left_out": len(left_out) + len(prompts) - count,
        "prompts": count,
        "stages": [_STAGES[stage](config, count, questions) for stage in stages],
    }


def _warmup(config: Config, count: int, questions: int) -> list[Any]:
    return _grpo("warmup", config.warmup, min(config.warmup.size, count), questions / max(1, count))


def _train(config: Config, count: int, questions: int) -> list[Any]:
    return _grpo("train", config.train, count, questions / max(1, count))


def _grpo(stage: str, settings: Any, size: int, mean: float) -> list[Any]:
    completions = size * settings.num_train_epochs * settings.num_generations
    return [stage, size, round(completions * (mean + settings.max_completion_length)), "a model"]


def _rollout(config: Config, count: int, questions: int) -> list[Any]:
    group, longest = config.rollout.num_generations, config.rollout.max_completion_length
    sampled = count * group * longest
    return ["rollout", count, questions + sampled, _size(sampled * BYTES_PER_TOKEN)]


def _grad(config: Config, count: int, questions: int) -> list[Any]:
    rollouts = 1 if config.grad.rollouts == "one-correct" else config.rollout.num_generations
    tokens = rollouts * (questions + count * config.rollout.max_completion_length)
    return [
        "grad",
        count,
        tokens,
        _size(count * 4 * config.grad.dim if config.grad.projection != "exact" else count * 40),
    ]


_STAGES = {"warmup": _warmup, "rollout": _rollout, "grad": _grad, "train": _train}


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
