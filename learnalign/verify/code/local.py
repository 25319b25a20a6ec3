"""The sandbox on this machine: a fresh one for every completion, and one of their own for the rows' assertions."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import platform
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from learnalign.errors import InputError
from learnalign.verify.code import box
from learnalign.verify.code.box import Box, BoxEnded
from learnalign.verify.code.sandbox import Done, Job, Limits, SandboxFailed, checked
from learnalign.verify.code.system_calls import supported

_SLACK = 10.0  # seconds beyond the limits until a sandbox that does not answer is killed
_COMPILE_SECONDS = 100.0  # by the clock
_OTHER_WAY = "or name a service: verifier_sandbox: http://… (SandboxFusion, Piston)"
_DIED = "loading it ends the sandbox"
_WHILE_LOADING = {"time": "out of time while it is compiled", "memory": "out of memory while it is compiled"}
_CHECKER_MEMORY = 3 * 2**30
_LOADING_MEMORY = 2 * 2**30  # bytes that the compiler may take, whatever a test may
_OWN_MEMORY = 64 * 2**20  # bytes that the runner takes, and four for each of its job
_MOST_OUTPUT = 128 * 2**20  # characters that all tests of a completion print: they stay in this process's memory
_TRIES = 4  # of a job whose sandbox died: somebody else may have killed it, as the kernel does if memory is short


class LocalSandbox:
    """Runs programs in sandboxes of bubblewrap; raises InputError if none can start here."""

    def __init__(self) -> None:
        self._as_root = working_mode()
        self._threads = threading.local()
        self._cpus = itertools.cycle(random.sample(usable := sorted(os.sched_getaffinity(0)), len(usable)))
        self._running: set[Box] = set()
        self._closed = False

    def run(self, job: Job) -> Done:
        """Run the program on the inputs of its tests, in a sandbox of its own."""
        return _again(lambda: self._run(job))

    def check(self, job: Job, assertions: dict[str, Any]) -> Done:
        """Pass calls on between the checker, which has the assertions, and the runner, which has the program."""
        return _again(lambda: self._check(job, assertions))

    def close(self) -> None:
        """Kill all that runs; jobs that are under way fail at once."""
        self._closed = True
        for running in list(self._running):
            running.kill()

    def _run(self, job: Job) -> Done:
        deadline = time.monotonic() + job.limits.total_seconds + _COMPILE_SECONDS
        with self._runner(job, deadline) as (runner, refused):
            if refused is not None:
                return Done(refused=refused)
            done = _replies(runner, job)
        if self._closed:  # the program is not to blame for its end
            raise SandboxFailed("the sandbox was closed")
        return done

    def _check(self, job: Job, assertions: dict[str, Any]) -> Done:
        deadline = time.monotonic() + job.limits.total_seconds + _COMPILE_SECONDS
        with self._runner(job, deadline) as (runner, refused):
            if refused is not None:
                return Done(refused=refused)
            deadline = time.monotonic() + job.limits.total_seconds + _SLACK
            checker = self._checker()
            try:
                checker.send({**assertions, **asdict(job.limits), "path": [box.PACKAGES_PATH]}, deadline)
                while "ask" in (message := checker.receive(deadline)):
                    checker.send(_asked(runner, message["ask"], deadline), deadline)
            except BoxEnded as error:
                self._drop_checker()
                if str(error) in ("time", "memory"):  # the program's values can be made to take it
                    return Done(ended=str(error))
                raise SandboxFailed(f"the row's assertions cannot be run: the process {error}") from None
            if "outcomes" not in message:
                self._drop_checker()  # a late answer may still be on its way to it
                if "ended" in message:
                    return Done(ended=message["ended"])
                raise SandboxFailed(message["failed"])
            return Done(replies=tuple({"outcome": outcome} for outcome in message["outcomes"]))

    @contextlib.contextmanager
    def _runner(self, job: Job, deadline: float) -> Any:
        """A sandbox with the program loaded, and why it could not be loaded if so."""
        message = json.dumps(job.message([box.PACKAGES_PATH], alone=True)).encode() + b"\n"
        own = _OWN_MEMORY + 4 * len(message)
        runner = self._start("runner", own + max(_LOADING_MEMORY, job.limits.memory))
        ready = False
        try:
            ready = bool(runner.receive(time.monotonic() + _COMPILE_SECONDS).get("ready"))
            runner.send(message, deadline)
            loaded = runner.receive(deadline)
            runner.memory = own + job.limits.memory
        except BoxEnded as error:
            cause = runner.error()
            self._end(runner)
            if not ready or self._closed:
                raise SandboxFailed(f"the sandbox did not start: {cause or error}") from None
            yield runner, _WHILE_LOADING.get(str(error), _DIED)
            return
        try:
            if "failed" in loaded:
                raise SandboxFailed(loaded["failed"])
            yield runner, loaded.get("refused")
        finally:
            self._end(runner)

    def _checker(self) -> Box:
        if getattr(self._threads, "checker", None) is None:
            self._threads.checker = self._start("checker", _CHECKER_MEMORY)
            try:
                self._threads.checker.receive(time.monotonic() + _COMPILE_SECONDS)
            except BoxEnded as error:
                cause = self._threads.checker.error()
                self._drop_checker()
                raise SandboxFailed(f"the sandbox did not start: {cause or error}") from None
        checker: Box = self._threads.checker
        return checker

    def _drop_checker(self) -> None:
        checker, self._threads.checker = self._threads.checker, None
        self._end(checker)

    def _start(self, role: str, memory: int) -> Box:
        if not hasattr(self._threads, "cpu"):  # each thread has its own, and no program takes from those of the others
            self._threads.cpu = next(self._cpus)
        started = Box(role, self._as_root, memory, self._threads.cpu)
        self._running.add(started)
        if self._closed:
            self._end(started)
            raise SandboxFailed("the sandbox was closed")
        return started

    def _end(self, box: Box) -> None:
        self._running.discard(box)
        box.close()


def _again(job: Callable[[], Done]) -> Done:
    """Do a job, once more if its sandbox fails or dies; a program that ends its sandbox does so every time."""
    for _ in range(_TRIES - 1):
        try:
            done = job()
        except SandboxFailed:
            continue
        if done.ended != "died" and done.refused != _DIED and {"outcome": "died"} not in done.replies:
            return done
    return job()


def _replies(runner: Box, job: Job) -> Done:
    replies: list[dict[str, Any]] = []
    size = 0
    deadline = time.monotonic() + job.limits.total_seconds
    one = 3 * job.limits.seconds + 2 + _SLACK
    try:
        while len(replies) < len(job.tests):
            reply = runner.receive(min(deadline, time.monotonic() + one))
            if not checked(reply):
                return Done(replies=tuple(replies), ended="died")
            size += len(reply.get("printed", ""))
            if size > _MOST_OUTPUT:
                return Done(replies=tuple(replies), ended="output")
            replies.append(reply)
            if replies[-1]["status"] in ("time", "memory"):
                return Done(replies=tuple(replies), ended=replies[-1]["status"])
    except BoxEnded as error:
        return Done(replies=tuple(replies), ended=str(error))
    return Done(replies=tuple(replies))


def _asked(runner: Box, message: dict[str, Any], deadline: float) -> dict[str, Any] | bytes:
    """The answer to a call, as the program's process gave it: it is read where the assertions are."""
    try:
        runner.send(message, deadline)
        return runner.line(deadline)
    except BoxEnded as error:
        return {"ended": str(error)}


@functools.cache
def working_mode() -> bool:
    """Whether to start sandboxes as root; raises InputError, with the ways out, if none can start here."""
    if platform.system() != "Linux" or not supported():
        raise InputError(
            f"verifier_sandbox: local needs Linux on x86_64 or aarch64, not {platform.system()} on {platform.machine()}; "
            f"{_OTHER_WAY[3:]}"
        )
    if not box.installed():
        raise InputError(
            "verifier_sandbox: local needs bubblewrap 0.8 or newer, which is not installed (no bwrap on PATH); install it "
            f"(Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap), {_OTHER_WAY}"
        )
    errors = []
    for as_root in box.modes():
        try:
            trial = Box("runner", as_root, Limits().memory)
        except SandboxFailed as error:
            errors.append(str(error))
            continue
        try:
            if trial.receive(time.monotonic() + _COMPILE_SECONDS).get("ready"):
                return as_root
        except BoxEnded as error:
            errors.append(trial.error() or f"it {error} without a word")
        finally:
            trial.close()
    raise InputError(_why_not(errors[0]))


def _why_not(error: str) -> str:
    if "Unknown option" in error or "unknown option" in error:
        return f"verifier_sandbox: local needs bubblewrap 0.8 or newer ({error}); update it, {_OTHER_WAY}"
    if "amespace" in error or "not permitted" in error or "ermission denied" in error:
        return (
            f"verifier_sandbox: local cannot start a sandbox here ({error}): this machine or container does not allow "
            "namespaces. In a container, start it with --privileged, or with --cap-add SYS_ADMIN --security-opt "
            "seccomp=unconfined --security-opt apparmor=unconfined; on a machine of your own, allow user namespaces (sysctl "
            f"user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0), {_OTHER_WAY}"
        )
    return f"verifier_sandbox: local cannot start a sandbox here ({error}); {_OTHER_WAY[3:]}"
