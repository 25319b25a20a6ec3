"""What a signal is: a name and a function from samples to rows, made once per worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from learnalign.config import Config
from learnalign.policy import load_policy, load_tokenizer
from learnalign.rundir import RunDir
from learnalign.signals.rendered import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Row = dict[str, Any]
Compute = Callable[[Sequence[Sample]], Sequence[Row]]


class Worker:
    """What the signals of one process share; the policy is loaded when the first of them needs it."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.config: Config = run.config

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.config)

    @cached_property
    def policy(self) -> PreTrainedModel:
        return load_policy(self.run)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One number a prompt, and what it was made of.

    `make` gives a function from samples to rows with `value` and the `columns`; a row whose `value` is None says why in
    `skipped`. `answers`: taken over an answer, else over the prompt alone. `inputs` tells what else the values depend
    on, besides the settings of the stages before; `finish` makes of the whole table what needs no model.
    """

    name: str
    make: Callable[[Worker], Compute]
    columns: dict[str, pa.DataType] = field(default_factory=dict)
    answers: bool = True
    inputs: Callable[[RunDir], Any] = lambda run: None
    finish: Callable[[RunDir, pa.Table], pa.Table] = lambda run, table: table


def each(samples: Sequence[Sample], why_not: Callable[[Sample], str | None], compute: Compute) -> list[Row]:
    """`compute` on the samples for which `why_not` gives no reason; the others become rows without a value."""
    reasons = [why_not(sample) for sample in samples]
    rows = iter(compute([sample for sample, reason in zip(samples, reasons, strict=True) if reason is None]))
    return [{"value": None, "skipped": reason} if reason else next(rows) for reason in reasons]


def no_answer(limit: int) -> Callable[[Sample], str | None]:
    """The reasons for which a sample has no likelihood under a model of `limit` tokens."""

    def why_not(sample: Sample) -> str | None:
        if not sample.answer_ids:
            return "no answer"
        return "longer than the model's context" if sample.length > limit else None

    return why_not
