"""Standard output for a result alone: what libraries and other processes write there goes to standard error."""

import contextlib
import os
import sys
from collections.abc import Iterator

_aside: list[int] = []  # the descriptor of standard output, while a result alone may be written there


def descriptor() -> int:
    """That of the result; raises ValueError or OSError if there is none."""
    return _aside[-1] if _aside else sys.stdout.fileno()


@contextlib.contextmanager
def for_result_alone() -> Iterator[None]:
    """Inside the block, what a library or another process writes to standard output goes to standard error; see `as_result`."""
    try:
        sys.stdout.flush()
        kept = os.dup(1)
    except (OSError, ValueError, AttributeError):  # it is closed
        yield
        return
    _aside.append(kept)
    try:
        with contextlib.suppress(OSError):  # standard error is closed
            os.dup2(2, 1)
        yield
    finally:
        _aside.remove(kept)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def as_result() -> Iterator[None]:
    """Inside the block, what is printed goes to standard output again."""
    if not _aside:
        yield
        return
    sys.stdout.flush()
    between = os.dup(1)
    os.dup2(_aside[-1], 1)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # what is left goes nowhere
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            sys.stdout.flush()
        raise
    finally:
        os.dup2(between, 1)
        os.close(between)
