"""The worker process: judges one task after another, and can be killed at any moment.

It starts as a fresh interpreter (never forked: the parent may hold torch, threads and a GPU, and a user's script may
lack a ``__main__`` guard) and speaks JSON over a socket: it receives a list of tasks and sends one verdict per task.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from learnalign.errors import InputError
from learnalign.verify.literal import judge_literal
from learnalign.verify.verdict import Verdict, shown


def main(settings: dict[str, Any]) -> None:
    """Serve tasks until the parent closes the connection.

    Args:
        settings: `descriptor` of the socket, `function`, a `module:function` or None, and the parent's limits for a
            task in seconds: `cpu_limit` (or None) and `wall_limit`.
    """
    connection = Connection(settings["descriptor"])
    try:
        judge = _user_judge(settings["function"]) if settings["function"] else _mathematics()
    except InputError as error:
        _send(connection, {"error": str(error)})
        return
    _send(connection, {"ready": time.process_time()})
    while True:
        try:
            tasks = json.loads(connection.recv_bytes())
        except (EOFError, ConnectionError):
            return
        for task in tasks:
            _set_timers(settings["cpu_limit"], settings["wall_limit"])
            verdict = _judge(judge, task)
            _set_timers(0, 0)
            _send(connection, [verdict.reward, verdict.reason, verdict.answer, time.process_time()])


def _set_timers(cpu_limit: float | None, wall_limit: float) -> None:
    """If the parent dies or stalls, the kernel kills a hung worker: no Python runs while C code computes 9^9^9."""
    signal.setitimer(signal.ITIMER_PROF, 2 * cpu_limit + 1 if cpu_limit else 0)
    signal.setitimer(signal.ITIMER_REAL, 2 * wall_limit + 1 if wall_limit else 0)


def _judge(judge: Callable[..., Verdict], task: list[Any]) -> Verdict:
    try:
        return judge(*task)
    except Exception as error:  # sympy and users' functions raise anything; an error is unscorable, never 0
        return Verdict(None, f"the verifier failed: {type(error).__name__}: {shown(str(error), 120)}")


def _send(connection: Connection, message: object) -> None:
    try:
        connection.send_bytes(json.dumps(message).encode())
    except ConnectionError:
        sys.exit(0)  # the parent is gone


def _mathematics() -> Callable[..., Verdict]:
    try:
        from learnalign.verify import equality
        from learnalign.verify.symbolic import MOST_DIGITS
    except ImportError as error:
        raise InputError(f"math-verify cannot be imported ({error}); pip install 'math-verify[antlr4-13-2]'") from None
    sys.set_int_max_str_digits(10 * MOST_DIGITS)  # sympy prints the integers that it compares
    # Warm-up: the parser takes 0.1 s for the first formula of a kind, which no completion should be charged.
    equality.judge_answer(r"\frac{\sqrt{3}}{2}+x^{2}", r"(x, 1]\cup\{2\}", None)
    judges: dict[str, Callable[..., Verdict]] = {
        "gold": equality.judge_gold,
        "answer": equality.judge_answer,
        "completion": equality.judge_completion,
        "literal": judge_literal,
    }
    return lambda kind, *arguments: judges[kind](*arguments)


def _user_judge(name: str) -> Callable[..., Verdict]:
    from learnalign.verify.functions import load_function

    sys.path.append(os.getcwd())  # last: a json.py in it must not hide the standard library's, nor a package
    return load_function(name)
