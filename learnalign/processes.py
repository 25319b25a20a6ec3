"""Several processes that train together, started by `accelerate launch` or `torchrun`: which one this is, and what they tell each other.

Process 0 runs the command: it alone prepares the pool, writes the run directory and holds its lock. The others wait until it announces a
training, and take part in it. Messages are JSON in the launcher's key-value store, which outlives every process.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from typing import Any

from learnalign.errors import RunError

POLL = 0.005  # seconds between two looks into the store
_sent = {"exchange": 0, "announcement": 0}  # how many messages of a kind there were


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def count() -> int:
    """How many processes train together; 1 without a launcher."""
    launched = "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ
    return int(os.environ.get("WORLD_SIZE", "1")) if launched else 1


def layout() -> str:
    """How accelerate lays a model out over the processes: DDP (whole in each), FSDP or DeepSpeed."""
    asked = [
        name for name in ("FSDP", "DeepSpeed") if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() == "true"
    ]
    return asked[0] if asked else "DDP"


def loads_in_first_only() -> bool:
    """Whether FSDP has only process 0 read a model's weights; accelerate sends the trained model's to the others, and no other's."""
    return layout() == "FSDP" and os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() == "true"


class Lost(RunError):
    """Another process has ended, and with it this one's work."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this training has ended; what it or the launcher printed says why. Run the same command again to go on "
            "from the last checkpoint"
        )


def announce(value: Any) -> None:
    """Tell all others something, and do not wait for them; process 0 says None when it has no more to announce."""
    if count() > 1:
        _store().set(_next("announcement"), json.dumps(value))


def awaited() -> Any:
    """What process 0 announces next, however long that takes."""
    return json.loads(_wait_for(_next("announcement"), patience=0.1))


def exchange(value: Any) -> list[Any]:
    """The values of all processes, in their order; each has to call this."""
    if count() == 1:
        return [value]
    key = _next("exchange")
    _store().set(f"{key}/{rank()}", json.dumps(value))
    values = [json.loads(_wait_for(f"{key}/{other}")) for other in range(count())]
    earlier = f"exchange/{_sent['exchange'] - 1}/{rank()}"  # whoever is here has read it
    with contextlib.suppress(RuntimeError):
        _store().delete_key(earlier)
    return values


def shared(value: Any) -> Any:
    """Process 0's value."""
    return exchange(value if rank() == 0 else None)[0]


def is_first_to_fail() -> bool:
    """Whether no other process has failed before: it says what went wrong, and the others end without a word."""
    if count() == 1:
        return True
    try:
        return _store().add("failed", 1) == 1
    except RuntimeError:  # the launcher has ended
        return rank() == 0


def is_first_to_stop() -> bool:
    """`is_first_to_fail` for a process that a signal ends: true, asking nobody, if it has not talked to the others yet."""
    return not _store.cache_info().currsize or is_first_to_fail()


def is_loss(error: BaseException) -> bool:
    """Whether an error of torch's says that another process has ended."""
    if count() == 1 or not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return any(word in text for word in ("gloo", "nccl", "connection closed", "connection reset", "broken pipe"))


def _next(kind: str) -> str:
    _sent[kind] += 1
    return f"{kind}/{_sent[kind]}"


def _wait_for(key: str, patience: float = POLL) -> str:
    """The value of `key` once it is there. Looks again and again, since a signal would not end a wait inside the store."""
    store = _store()
    try:
        while not store.check([key]):
            if store.check(["failed"]):
                raise Lost
            time.sleep(patience)
        return store.get(key).decode()
    except RuntimeError as error:
        raise Lost from error


@functools.cache
def _store() -> Any:
    from torch.distributed import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://")))
    return PrefixStore(f"learnalign/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
