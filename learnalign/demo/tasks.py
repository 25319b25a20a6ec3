"""Verifiable tasks for a small real model: reasoning-gym's generated ones, and GSM8K questions from a file.

Small models need to see the form of an answer: most prompts are message lists with two worked examples before the question.
"""

import json
import random
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, RunError

Messages = list[dict[str, str]]

SEED = 0
PER_KIND = 40
# kind: reasoning-gym's task, its settings, and how many worked examples the prompt shows
KINDS: dict[str, tuple[str, dict[str, int], int]] = {
    "chain": ("chain_sum", {"min_terms": 2, "max_terms": 4, "min_digits": 1, "max_digits": 1}, 0),
    "product": ("products", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}, 2),
    "sum": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2}, 2),
}


def reasoning_gym_pool() -> list[dict[str, Any]]:
    """`PER_KIND` different tasks of each kind: messages, answer, kind."""
    try:
        import reasoning_gym
    except ModuleNotFoundError:
        raise RunError("the pool is made by reasoning-gym; install it: pip install 'learnalign[real]'") from None

    rows: list[dict[str, Any]] = []
    for kind, (task, settings, shown) in KINDS.items():
        drawn = reasoning_gym.create_dataset(task, size=20 * PER_KIND, seed=SEED, **settings)
        answers = {str(item["question"]): str(item["answer"]) for item in drawn}
        pairs = list(answers.items())[: PER_KIND + shown]
        examples = [(question, f"The final answer is {answer}.") for question, answer in pairs[:shown]]
        rows += [
            {"messages": ask(question, examples), "answer": answer, "kind": kind} for question, answer in pairs[shown:]
        ]
    random.Random(SEED).shuffle(rows)
    return rows


def ask(question: str, examples: list[tuple[str, str]]) -> Messages:
    """Chat messages: every example as a user's question and the assistant's answer, then the question."""
    messages: Messages = []
    for asked, answered in examples:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": question}]


def gsm8k_pool(path: Path, count: int = 64) -> list[dict[str, Any]]:
    """`count` questions of GSM8K's train.jsonl, with its first two questions as worked examples: messages, answer.

    The calculator marks (<<48/2=24>>) are cut out of the examples; the answer keeps GSM8K's own form, `… #### 72`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read GSM8K's train.jsonl ({error.strerror})") from None
    items = [json.loads(line) for line in lines[: count + 2]]
    if len(items) < count + 2:
        raise InputError(f"{path}: has {len(items)} questions; {count + 2} are needed (two are worked examples)")
    examples = [(item["question"], _without_marks(item["answer"])) for item in items[:2]]
    return [{"messages": ask(item["question"], examples), "answer": item["answer"]} for item in items[2:]]


def _without_marks(answer: str) -> str:
    parts = answer.split("<<")
    return parts[0] + "".join(part.partition(">>")[2] for part in parts[1:])
