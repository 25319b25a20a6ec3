"""The verifier `code`: a completion's program is correct if it passes all tests of its row."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from learnalign.errors import one_line
from learnalign.verify.code.cases import BadTests, Cases
from learnalign.verify.code.comparison import COMPARISONS, right_value
from learnalign.verify.code.inside import wire
from learnalign.verify.code.prelude import needed
from learnalign.verify.code.program import Program, find_program
from learnalign.verify.code.sandbox import Done, Job, Limits, Sandbox, SandboxFailed
from learnalign.verify.code.shapes import read_cases
from learnalign.verify.verdict import CORRECT, LONGEST_ANSWER, Item, Verdict

_LONGEST_REASON = 200
_MOST_CASES = 8  # rows whose tests are kept read: each may take many megabytes, and a row's completions come together
_BROKEN = {"time": "out of time", "memory": "out of memory", "output": "too much output", "died": "it ends the sandbox"}


def gold_reason(answer: str) -> str | None:
    """Why a gold answer, the tests of a row as JSON, cannot be used; None if it can."""
    try:
        read_cases(answer)
    except BadTests as error:
        return str(error)
    return None


class CodeJudge:
    """Judges programs in a sandbox, several at once."""

    def __init__(self, sandbox: Sandbox, limits: Limits, at_once: int) -> None:
        self._sandbox, self._limits = sandbox, limits
        self._threads = ThreadPoolExecutor(at_once, "sandbox")
        self._read = lru_cache(_MOST_CASES)(read_cases)
        self._reading = threading.Lock()

    def golds(self, answers: Sequence[str]) -> list[Verdict]:
        """Judge gold answers: the tests of a row as JSON."""
        reasons = map(gold_reason, answers)
        return [CORRECT if reason is None else Verdict(None, reason) for reason in reasons]

    def items(self, items: Sequence[Item]) -> list[Verdict]:
        """Judge completions, each with the tests of its row; equal programs of a row once."""
        asked: dict[tuple[Program, str], Any] = {}
        verdicts: list[Verdict | tuple[Program, str]] = []
        try:
            for item in items:
                found = find_program(item.completion, self._cases(item.answer).language)
                if isinstance(found, str):
                    verdicts.append(Verdict(0.0, found, None, 0.0))
                    continue
                key = (found, item.answer)
                if key not in asked:
                    asked[key] = self._threads.submit(self._judge, found, item.answer)
                verdicts.append(key)
            return [each if isinstance(each, Verdict) else asked[each].result() for each in verdicts]
        except BaseException:
            for future in asked.values():
                future.cancel()
            raise

    def close(self) -> None:
        """End what runs."""
        self._sandbox.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _cases(self, answer: str) -> Cases:
        with self._reading:
            return self._read(answer)

    def _judge(self, program: Program, answer: str) -> Verdict:
        cases = self._cases(answer)
        try:
            outcomes = self._outcomes(program, cases)
        except SandboxFailed as error:
            return Verdict(None, f"sandbox failed: {one_line(error, _LONGEST_REASON)}", program.text[:LONGEST_ANSWER])
        if isinstance(outcomes, str):
            return Verdict(0.0, outcomes, program.text[:LONGEST_ANSWER], 0.0)
        failed = [(number, outcome) for number, outcome in enumerate(outcomes, start=1) if outcome is not None]
        share = 1 - len(failed) / len(outcomes)
        reason = (
            f"test {failed[0][0]} of {len(outcomes)}: {failed[0][1]}" if failed else f"all tests pass ({len(outcomes)})"
        )
        return Verdict(float(not failed), one_line(reason, _LONGEST_REASON), program.text[:LONGEST_ANSWER], share)

    def _outcomes(self, program: Program, cases: Cases) -> list[str | None] | str:
        """For each test None or why it fails; or why the program cannot be run."""
        if cases.assertions is not None:
            session = self._job(program, cases, [{"kind": "session"}])
            told = {"code": cases.assertions.code, "setup": cases.assertions.setup, "entry_point": cases.entry_point}
            done = self._sandbox.check(session, told)
            return done.refused or _filled(
                done, len(cases.assertions.code), lambda number, reply: _words(reply["outcome"])
            )
        if cases.calls:
            return self._called(program, cases)
        tests = [{"kind": "run", "stdin": test.stdin} for test in cases.printed]
        done = self._sandbox.run(self._job(program, cases, tests))
        if done.refused or cases.checker is None:
            expected, compare = [test.stdout for test in cases.printed], COMPARISONS[cases.comparison]

            def outcome(number: int, reply: dict[str, Any]) -> str | None:
                right = _fault(reply) is None and compare(expected[number], reply["printed"])
                return None if right else _fault(reply) or "wrong output"

            return done.refused or _filled(done, len(tests), outcome)
        return self._checked(done, cases)

    def _called(self, program: Program, cases: Cases) -> list[str | None] | str:
        tests = [{"kind": "call", "name": cases.entry_point, "arguments": call.arguments} for call in cases.calls]
        done = self._sandbox.run(self._job(program, cases, tests))

        def outcome(number: int, reply: dict[str, Any]) -> str | None:
            if _fault(reply) is not None:
                return _fault(reply)
            if not reply["printed"]:
                return "its process ended before the call returned"
            try:
                value = wire.plain(json.loads(reply["printed"]))
                return None if right_value(cases.calls[number], value) else "wrong value"
            except (ValueError, TypeError, KeyError, RecursionError):
                return "no plain value"

        return done.refused or _filled(done, len(tests), outcome)

    def _checked(self, done: Done, cases: Cases) -> list[str | None] | str:
        """The outcomes by the row's own checker. Where it fails on what was printed, but not on the expected outputs, that is wrong."""
        printed = {number: reply["printed"] for number, reply in enumerate(done.replies) if _fault(reply) is None}
        marks = self._marks(cases, printed)
        if _broken(marks, len(printed)):
            control = self._marks(cases, {number: cases.printed[number].stdout for number in printed})
            if why := _broken(control, len(printed)):
                raise SandboxFailed(f"the row's checker failed on the expected outputs: {why}")
        replies = zip(printed, marks.replies, strict=False)
        right = {number for number, reply in replies if _fault(reply) is None and _is_one(reply["printed"])}

        def outcome(number: int, reply: dict[str, Any]) -> str | None:
            return None if number in right else _fault(reply) or "wrong output"

        return _filled(done, len(cases.printed), outcome)

    def _marks(self, cases: Cases, printed: dict[int, str]) -> Done:
        """What the row's checker, a program that reads three files, prints for the outputs of some tests."""
        assert cases.checker is not None
        names = ["input.txt", "expected.txt", "printed.txt"]
        tests = []
        for number, text in printed.items():
            files = dict(zip(names, (cases.printed[number].stdin, cases.printed[number].stdout, text), strict=True))
            tests.append({"kind": "run", "stdin": "", "arguments": names, "files": files})
        checker = Program(cases.checker, "python")
        return self._sandbox.run(self._job(checker, cases, tests, self._limits)) if tests else Done()

    def _job(
        self, program: Program, cases: Cases, tests: Sequence[dict[str, Any]], limits: Limits | None = None
    ) -> Job:
        """`limits`: None for those of the row's programs."""
        limits = limits or Limits(
            seconds=cases.seconds or self._limits.seconds,
            total_seconds=self._limits.total_seconds,
            memory=cases.memory or self._limits.memory,
        )
        return Job(
            program=program.text,
            language=program.language,
            prelude=needed(cases.prelude, program.text) if program.language == "python" else "",
            tests=tuple(tests),
            limits=limits,
        )


def _filled(done: Done, count: int, outcome: Callable[[int, dict[str, Any]], str | None]) -> list[str | None]:
    """The outcomes of all tests; those that were not run share the reason why."""
    outcomes = [outcome(number, reply) for number, reply in enumerate(done.replies[:count])]
    return outcomes + [_BROKEN.get(done.ended, done.ended or "not run")] * (count - len(outcomes))


def _fault(reply: dict[str, Any]) -> str | None:
    """Why a test of a program failed, whatever it should have given; None if it ran."""
    status = reply["status"]
    return None if status == "ok" else _BROKEN.get(status) or f"error: {reply.get('error')}"


def _broken(marks: Done, count: int) -> str | None:
    """Why the row's checker did not answer for all of `count` tests; None if it did."""
    fault = next(filter(None, map(_fault, marks.replies)), None)
    left = len(marks.replies) < count
    return marks.refused or fault or (_BROKEN.get(marks.ended, marks.ended or "no answer") if left else None)


def _words(outcome: str | None) -> str | None:
    return (
        outcome
        if outcome is None
        else _BROKEN.get(outcome, "wrong value" if outcome == "wrong" else f"error: {outcome}")
    )


def _is_one(printed: str) -> bool:
    try:
        return float(printed.split()[0]) >= 1
    except (ValueError, IndexError):
        return False
