"""A verifier, opened by name: checks gold answers and scores completions."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from learnalign.errors import InputError
from learnalign.names import VERIFIERS
from learnalign.verify.builtin import BUILT_IN, BuiltIn, Task
from learnalign.verify.code import CodeJudge, Limits, at_once, open_sandbox
from learnalign.verify.reasoning import check_tags, without_reasoning
from learnalign.verify.verdict import CORRECT, NO_ANSWER, Item, Verdict
from learnalign.verify.workers import Workers

_NOTHING_AFTER = Verdict(0.0, "no answer after the reasoning")
MEMORY_LIMIT = 2 * 2**30  # bytes beyond a worker's imports


class Judge(Protocol):
    """What decides: on gold answers, and on completions whose gold is usable. Each list is answered in order."""

    def golds(self, answers: Sequence[str]) -> list[Verdict]:
        """Reward 1.0 for each usable gold; any other's reason says why it is none."""
        ...

    def items(self, items: Sequence[Item]) -> list[Verdict]:
        """The verdicts of completions without their reasoning."""
        ...

    def close(self) -> None:
        """End what runs."""
        ...


class Tasks:
    """The judge of the built-in rules and of users' functions: what is not decided at once goes to worker processes."""

    def __init__(self, rules: BuiltIn, workers: Workers) -> None:
        self._rules, self._workers = rules, workers

    def golds(self, answers: Sequence[str]) -> list[Verdict]:
        return self._decide(map(self._rules.gold, answers))

    def items(self, items: Sequence[Item]) -> list[Verdict]:
        return self._decide(map(self._rules.item, items))

    def close(self) -> None:
        self._workers.close()

    def _decide(self, answers: Iterable[Verdict | Task]) -> list[Verdict]:
        """Send undecided items to the workers, each distinct task once."""
        keyed = [each if isinstance(each, Verdict) else json.dumps(each).encode() for each in answers]
        tasks = list(dict.fromkeys(key for key in keyed if isinstance(key, bytes)))
        judged = dict(zip(tasks, self._workers.run(tasks), strict=True))
        return [key if isinstance(key, Verdict) else judged[key] for key in keyed]


class Verifier:
    """Checks gold answers and scores completions; works in any thread. Use `open_verifier`, as a context manager."""

    def __init__(
        self, judge: Judge, visible: Callable[[str], str] = lambda text: text, gives_shares: bool = False
    ) -> None:
        """`visible` returns the part of a completion that is judged; `gives_shares`: verdicts have `share_passed`."""
        self._judge, self._visible, self.gives_shares = judge, visible, gives_shares
        self._golds: dict[str, str | None] = {}

    def check_golds(self, answers: Sequence[str]) -> list[str | None]:
        """Return None for each usable gold answer, for any other the reason. Each answer is judged once."""
        new = list(dict.fromkeys(answer for answer in answers if answer not in self._golds))
        verdicts = self._judge.golds(new)
        self._golds.update((a, None if v.reward else v.reason) for a, v in zip(new, verdicts, strict=True))
        return [self._golds[answer] for answer in answers]

    def score(self, items: Sequence[Item]) -> list[Verdict]:
        """Return the verdict of each item, in order; None, not 0.0, if the gold is unusable or the verifier failed."""
        golds = self.check_golds([item.answer for item in items])
        texts = [self._visible(item.opened + item.completion) for item in items]
        judged = iter(
            self._judge.items(
                [
                    item if text == item.completion else replace(item, completion=text)
                    for item, text, gold in zip(items, texts, golds, strict=True)
                    if gold is None
                ]
            )
        )
        verdicts = [next(judged) if gold is None else Verdict(None, gold) for gold in golds]
        return [
            _NOTHING_AFTER if verdict == NO_ANSWER and len(text) < len(item.completion) else verdict
            for item, text, verdict in zip(items, texts, verdicts, strict=True)
        ]

    def close(self) -> None:
        """End the processes."""
        self._judge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_verifier(
    name: str,
    workers: int | None = None,
    timeout: float = 5.0,
    memory_limit: int = MEMORY_LIMIT,
    reasoning_tags: Sequence[str] = (),
    sandbox: str | None = None,
    limits: Limits | None = None,
) -> Verifier:
    """Open a verifier.

    Args:
        name: of `names.VERIFIERS`, or `package.module:function` (see `functions`).
        workers: most processes at once; None: one per usable CPU.
        timeout: seconds for one completion: of CPU time (and ten times as many by the clock), or by the clock for a
            user's function. One that takes longer is unscorable and its worker is killed.
        memory_limit: bytes a worker may take beyond its imports before it is killed.
        reasoning_tags: further ones (see `reasoning`). Verifiers by name judge what follows the reasoning; a user's
            function gets the whole completion.
        sandbox: where the verifier `code` runs programs: `local`, or the URL of a service.
        limits: of a program's tests; None: those of `Limits`.

    Raises:
        InputError: there is no such verifier, a reasoning tag is none, or a user's function cannot be loaded.
    """
    visible = partial(without_reasoning, tags=tuple(reasoning_tags))
    if name in VERIFIERS:
        check_tags(reasoning_tags)
    if name == "code":
        return Verifier(
            CodeJudge(open_sandbox(sandbox), limits or Limits(), workers or at_once(sandbox)), visible, True
        )
    if name in BUILT_IN:
        return Verifier(Tasks(BUILT_IN[name], Workers(None, workers, timeout, memory_limit)), visible)
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        near = difflib.get_close_matches(name, VERIFIERS, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(
            f"no verifier {name!r}{meant}; use one of {', '.join(VERIFIERS)}, or package.module:function for your own"
        )
    processes = Workers(name, workers, timeout, memory_limit)
    try:
        processes.start()
    except BaseException:
        processes.close()
        raise
    return Verifier(Tasks(BuiltIn(lambda answer: CORRECT, _call), processes))


def _call(item: Item) -> Task:
    return (item.completion, item.answer, item.messages, item.source)
