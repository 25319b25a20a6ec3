"""What fits on a device: free memory, batches within a budget, and smaller batches when memory runs out."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import psutil
import torch

Batch = TypeVar("Batch")
PADDING = 1.04  # positions of a batch over the tokens in it, from which on shorter items wait for the next batch
FULL = 4096  # positions from which on a batch need not be filled: a GPU is busy


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still allocate on `device`; on a GPU, torch's unused cache included."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory, on the GPU or in the CPU's allocator."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def release_cached_memory() -> None:
    """Collect garbage and give torch's cached GPU memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def pack_batches(
    lengths: Sequence[int], budget: Callable[[], int], rows: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Indices of items in batches of at most `budget()` positions, padding included: longest first, ties in their order.

    Item i has `rows[i]` rows (default: one) of at most `lengths[i]` positions. An item above the budget is a batch of its own. A batch
    of `FULL` positions ends where the next item would make more than `PADDING` of its tokens. The budget is asked before each
    batch, so it may change in between.
    """
    counts = [1] * len(lengths) if rows is None else rows
    waiting = deque(sorted(range(len(lengths)), key=lambda i: -lengths[i]))
    while waiting:
        batch = [waiting.popleft()]
        longest = lengths[batch[0]]
        most, positions = budget(), counts[batch[0]] * longest
        tokens = positions
        while waiting:
            count, length = counts[waiting[0]], lengths[waiting[0]]
            positions, before = positions + count * longest, positions
            tokens += count * length
            if positions > most or (before >= FULL and positions > PADDING * tokens):
                break
            batch.append(waiting.popleft())
        yield batch


def work_through(
    batches: Iterable[Batch], work: Callable[[Batch], None], split: Callable[[Batch], Sequence[Batch]]
) -> None:
    """Call `work` on every batch; one that runs out of memory is replaced by the smaller ones of `split`.

    `split` raises the error to report if a batch cannot be smaller. What `work` did before it ran out of memory must not count.
    """
    for each in batches:
        waiting = [each]
        while waiting:
            batch = waiting.pop()
            if not _fits(batch, work):
                release_cached_memory()  # not in an except block: the exception holds the failed batch's memory
                waiting += reversed(split(batch))


def _fits(batch: Batch, work: Callable[[Batch], None]) -> bool:
    """Do `work`; whether there was enough memory for it."""
    try:
        work(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
