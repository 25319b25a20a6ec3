"""Ends a process with the one that started it, however that one ended: both hold an end of one pipe or socket."""

import select
import threading
from collections.abc import Callable


def watch(descriptor: int, end: Callable[[], object]) -> None:
    """Call `end`, in a thread of its own, when the process at the other end of `descriptor` is gone; nothing is read from it."""
    poll = select.poll()
    poll.register(descriptor, 0)  # only the hang-up, which is always told

    def wait() -> None:
        poll.poll()
        end()

    threading.Thread(target=wait, daemon=True).start()
