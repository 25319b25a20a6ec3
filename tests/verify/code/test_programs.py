"""Two hundred right and two hundred subtly wrong programs: every verdict is right."""

from __future__ import annotations

from collections import Counter

import pytest

from learnalign.verify import Item, Verifier
from tests.verify.code.programs import TASKS, Case, cases
from tests.verify.code.programs.task import Task


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_answers_of_a_task_are_right(task: Task) -> None:
    """Computed twice, by code that shares nothing with the programs."""
    assert task.expected() == task.checked()


def test_every_task_has_five_right_and_five_wrong_programs() -> None:
    assert len(TASKS) >= 40
    for task in TASKS:
        assert [bool(program.mistake) for program in task.all_programs()] == [False] * 5 + [True] * 5, task.name
    assert Counter(case.reward for case in cases()) == {1.0: 5 * len(TASKS), 0.0: 5 * len(TASKS)}
    assert max(Counter(case.completion + case.gold for case in cases()).values()) == 1


def _wrong_verdicts(verifier: Verifier, chosen: list[Case]) -> list[tuple[str, object]]:
    verdicts = verifier.score([Item(case.completion, case.gold) for case in chosen])
    return [(case.name, got) for case, got in zip(chosen, verdicts, strict=True) if got.reward != case.reward]


def test_the_verdict_on_one_program_in_nine_is_right(verifier: Verifier) -> None:
    assert _wrong_verdicts(verifier, list(cases())[::9]) == []


@pytest.mark.slow
def test_every_verdict_is_right(verifier: Verifier) -> None:
    assert _wrong_verdicts(verifier, list(cases())) == []
