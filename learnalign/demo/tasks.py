"""Verifiable tasks for a small real model: reasoning-gym's generated ones, and GSM8K questions from a file.

A small model needs to see the form of an answer: prompts are message lists, two worked examples before the question.
"""

import json
import random
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, RunError

Messages = list[dict[str, str]]

SEED = 0
PER_KIND = 40
EXAMPLES = 2
# kind: reasoning-gym's task and its settings, within reach of a model of 135M parameters
KINDS: dict[str, tuple[str, dict[str, int]]] = {
    "chain": ("chain_sum", {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}),
    "product": ("products", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}),
    "sum": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2}),
}


def reasoning_gym_pool() -> list[dict[str, Any]]:
    """`PER_KIND` different tasks of each kind, the same ones every time: messages, answer, kind."""
    try:
        import reasoning_gym
    except ModuleNotFoundError:
        raise RunError("the pool is made by reasoning-gym; install it: pip install 'learnalign[real]'") from None

    rows: list[dict[str, Any]] = []
    for kind, (task, settings) in KINDS.items():
        drawn = reasoning_gym.create_dataset(task, size=20 * PER_KIND, seed=SEED, **settings)
        answers = {item["question"]: str(item["answer"]) for item in drawn if _within_reach(kind, item)}
        pairs = list(answers.items())[: EXAMPLES + PER_KIND]
        examples = [(question, _worked(question, answer)) for question, answer in pairs[:EXAMPLES]]
        asked = pairs[EXAMPLES:]
        rows += [{"messages": ask(question, examples), "answer": answer, "kind": kind} for question, answer in asked]
    random.Random(SEED).shuffle(rows)
    return rows


def _within_reach(kind: str, item: dict[str, Any]) -> bool:
    """Whether a model of this size ever gets it: results below zero it does not, differences of two digits neither."""
    return " - " not in item["question"] if kind == "sum" else int(item["answer"]) >= 0


def _worked(question: str, answer: str) -> str:
    """The expression between the question's colon and its closing `=` or full stop, restated with its value."""
    expression = question.partition(":")[2].partition("=")[0].partition(".")[0].strip()
    return f"{expression} = {answer}. The final answer is {answer}."


def ask(question: str, examples: list[tuple[str, str]]) -> Messages:
    """Chat messages: every example as a user's question and the assistant's answer, then the question."""
    messages: Messages = []
    for asked, answered in examples:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": question}]


def gsm8k_pool(path: Path, count: int = 64) -> list[dict[str, Any]]:
    """The first `count` questions after two worked examples of GSM8K's train.jsonl: messages, answer.

    The calculator marks (<<48/2=24>>) are cut out of the examples; the answer keeps GSM8K's own form, `… #### 72`.

    Raises:
        InputError: the file cannot be read, is not GSM8K's, or is too short.
    """
    needed = count + EXAMPLES
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:needed]
        items = [(item["question"], item["answer"]) for item in map(json.loads, lines)]
    except OSError as error:
        raise InputError(f"{path}: cannot read GSM8K's train.jsonl ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: expected GSM8K's train.jsonl, one object with question and answer a line") from None
    if len(items) < needed:
        raise InputError(f"{path}: has {len(items)} questions; {needed} are needed ({EXAMPLES} are worked examples)")
    examples = [(question, _without_marks(answer)) for question, answer in items[:EXAMPLES]]
    return [{"messages": ask(question, examples), "answer": answer} for question, answer in items[EXAMPLES:]]


def _without_marks(answer: str) -> str:
    first, *rest = answer.split("<<")
    return first + "".join(part.partition(">>")[2] for part in rest)
