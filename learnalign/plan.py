"""`--dry-run`: what a run would read, sample, compute and write, from the pool and the tokenizer alone."""

from __future__ import annotations

from typing import Any

from learnalign.config import Config, dump_config
from learnalign.policy import load_tokenizer, prompt_ids
from learnalign.prompts import read_pool

BYTES_PER_TOKEN = 6  # of a stored rollout: an id and its text, compressed


def plan(config: Config) -> dict[str, Any]:
    """The resolved config, and prompts, tokens and disk of each stage as upper bounds; writes nothing."""
    prompts, left_out, rows = read_pool(config.data)
    tokenizer = load_tokenizer(config)
    lengths = [len(prompt_ids(tokenizer, prompt.messages)) for prompt in prompts]
    lengths = [length for length in lengths if length <= config.data.max_prompt_tokens]
    count, questions = len(lengths), sum(lengths)
    mean = questions / count if count else 0.0
    return {
        "config": dump_config(config),
        "rows": rows,
        "left_out": len(left_out) + len(prompts) - count,
        "prompts": count,
        "stages": [_warmup(config, count, mean), _rollout(config, count, questions), _grad(config, count, questions)],
    }


def _warmup(config: Config, count: int, mean: float) -> list[Any]:
    warmup = config.warmup
    size = min(warmup.size, count)
    completions = size * warmup.num_train_epochs * warmup.num_generations
    return ["warmup", size, round(completions * (mean + warmup.max_completion_length)), "a model"]


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


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
