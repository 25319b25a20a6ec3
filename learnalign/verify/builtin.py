"""The verifiers by name: each finds the answer in a completion and judges plain text and plain numbers at once.

`exact` and `gsm8k` compare text and numbers. `math`, `boxed` and `answer_tag` send all other mathematics to the worker
processes, `literal` every text that differs from the gold. Everything here runs in the parent and is linear in the
text's length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from learnalign.verify import gsm8k
from learnalign.verify.extract import Boxes, find_boxes, last_tag, stated_answers
from learnalign.verify.literal import find_answer
from learnalign.verify.notation import PlainNumber, plain_number, same_number, unwrap
from learnalign.verify.verdict import CORRECT, NO_ANSWER, Item, Verdict, correct, different

Task = tuple[object, ...]  # for a worker: its kind of judgement and the arguments
_LONGEST_QUICK = 200


class BuiltIn(NamedTuple):
    """A verifier by name: judges a gold answer, and an item whose gold is usable, or returns a task for a worker."""

    gold: Callable[[str], Verdict | Task]
    item: Callable[[Item], Verdict | Task]


def _math_gold(answer: str) -> Verdict | Task:
    return CORRECT if _number(answer) else ("gold", answer)


def _math(item: Item) -> Verdict | Task:
    boxes = find_boxes(item.completion)
    if boxes.contents or boxes.unterminated:
        return _in_box(item, boxes)
    text = (last_tag(item.completion) or item.completion).strip()
    stated = stated_answers(text)
    quick = _judged(item.answer, stated[0] if stated else text) if text else NO_ANSWER
    return quick or ("completion", item.answer, text)


def _boxed(item: Item) -> Verdict | Task:
    return _in_box(item, find_boxes(item.completion))


def _in_box(item: Item, boxes: Boxes) -> Verdict | Task:
    if not boxes.contents:
        return Verdict(0.0, "the box is not closed") if boxes.unterminated else NO_ANSWER
    text = boxes.contents[-1] if boxes.joined is None or boxes.loose else boxes.joined
    return _judged(item.answer, text) or ("answer", item.answer, text, boxes.joined if boxes.loose else None)


def _answer_tag(item: Item) -> Verdict | Task:
    text = last_tag(item.completion)
    if text is None:
        return Verdict(0.0, "<answer> is not closed") if "<answer>" in item.completion else NO_ANSWER
    if "\\boxed" in text:
        return _boxed(Item(text, item.answer))
    return _judged(item.answer, text) or ("answer", item.answer, text, None)


def _judged(answer: str, text: str) -> Verdict | None:
    """Judge two plain numbers or the same text; returns None if it takes computer algebra."""
    if not text:
        return NO_ANSWER
    if text == answer.strip():
        return correct(text)
    gold, number = _number(answer), _number(text)
    if gold is None or number is None:
        return None
    return correct(text) if same_number(gold, number) else different(text, answer)


@lru_cache(maxsize=16_384)
def _number(text: str) -> PlainNumber | None:
    return plain_number(text.strip()) or plain_number(unwrap(text)) if len(text) <= _LONGEST_QUICK else None


def _exact_gold(answer: str) -> Verdict:
    return CORRECT if answer.strip() else Verdict(None, "the gold answer is empty")


def _exact(item: Item) -> Verdict:
    text = item.completion.strip()
    if not text:
        return NO_ANSWER
    return correct(text) if text == item.answer.strip() else different(text, item.answer)


def _literal(item: Item) -> Verdict | Task:
    text = find_answer(item.completion)
    if not text:
        return NO_ANSWER
    return correct(text) if text == item.answer else ("literal", item.answer, text)


BUILT_IN = {
    "math": BuiltIn(_math_gold, _math),
    "boxed": BuiltIn(_math_gold, _boxed),
    "answer_tag": BuiltIn(_math_gold, _answer_tag),
    "gsm8k": BuiltIn(gsm8k.judge_gold, gsm8k.judge),
    "exact": BuiltIn(_exact_gold, _exact),
    "literal": BuiltIn(_exact_gold, _literal),
}
