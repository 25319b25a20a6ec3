"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the command, with one line and exit code 128 + its number; later ones do nothing.

Imports little, and nothing of this package, so that a signal is answered from the start on.
"""

import _thread
import atexit
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 1.5  # seconds to leave files in order, and to end processes
LIFELINE = "LEARNALIGN_LIFELINE"  # descriptor of a pipe to the `learnalign run` that this process is a stage of

IS_STAGE = LIFELINE in os.environ

_arrived: list[int] = []
_leaving = _thread.allocate_lock()


class Stopped(KeyboardInterrupt):
    """One of `SIGNALS` has arrived; libraries treat it as a Ctrl-C."""


def listen() -> None:
    """Answer signals from now on, and end with the `learnalign run` that started this process, if one did."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(number, _stop)
    sys.unraisablehook = _unraisable
    os.register_at_fork(after_in_child=_forget)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # see `held`
    if lifeline := os.environ.pop(LIFELINE, None):
        from learnalign.lifeline import watch

        watch(int(lifeline), lambda: os.kill(os.getpid(), signal.SIGTERM))


def _stop(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _arrived.append(number)
    # A library may swallow the exception, or hold the process up in its own clean-up.
    _thread.start_new_thread(_leave_late, ())
    raise Stopped


def _unraisable(what: "sys.UnraisableHookArgs") -> None:
    """Python goes on after an exception in a finalizer or callback, and prints its traceback; `_leave_late` ends the process then."""
    if not isinstance(what.exc_value, Stopped):
        sys.__unraisablehook__(what)


def _leave_late() -> None:
    time.sleep(GRACE)
    leave()


def _forget() -> None:
    """A forked process, e.g. one that loads data, ends by SIGTERM as its library expects."""
    for number in SIGNALS:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def arrived() -> bool:
    """Whether a signal has arrived."""
    return bool(_arrived)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold signals back: a Python process started inside does not see them until it calls `listen`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave(code: int | None = None) -> None:
    """Say why, end every process that this one started, and exit without the interpreter's clean-up, which takes seconds.

    Args:
        code: of a stage that a signal has ended; None: of the signal that has arrived here.
    """
    if not _leaving.acquire(blocking=False):
        time.sleep(GRACE)  # the other thread is about to exit
    code = code or 128 + _arrived[0]
    with contextlib.suppress(OSError, ValueError):
        if not IS_STAGE and _says_so():  # else `learnalign run` says it
            word = "interrupted" if code == 128 + signal.SIGINT else "terminated"
            print(f"learnalign: {word}; run the same command again to resume", file=sys.stderr)
        sys.stderr.flush()
        sys.stdout.flush()
    _end_children()
    os._exit(code)


def _says_so() -> bool:
    """Whether this is the only process, or the first of several, none of which has failed and said why all are ended."""
    from learnalign import processes

    return not processes.rank() and processes.is_first_to_stop()


def end(code: object) -> None:
    """Exit as `sys.exit(code)` does, but for the interpreter's clean-up: it takes seconds, and threads of libraries that run on
    into it abort the process now and then ("terminate called without an active exception").
    """
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _end_children() -> None:
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
