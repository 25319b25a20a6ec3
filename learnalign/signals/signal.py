"""Defines a signal: a name and a function from rendered prompts to rows, made once per process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from learnalign.config import Config
from learnalign.policy import load_named, run_tokenizer
from learnalign.rundir import RunDir
from learnalign.signals.rendered import RenderedPrompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SignalRow = dict[str, Any]
Compute = Callable[[Sequence[RenderedPrompt]], Sequence[SignalRow]]


class SignalInputs:
    """What the signals of one process share; loads the model `name` when the first of them needs it."""

    def __init__(self, run: RunDir, name: str) -> None:
        self.run, self.name = run, name
        self.config: Config = run.config

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return run_tokenizer(self.run)

    @cached_property
    def policy(self) -> PreTrainedModel:
        """The model that the values are of; the run's policy unless another was requested."""
        return load_named(self.run, self.name, "signal.policy")


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Defines one per-prompt number and its supporting columns.

    `make` returns a function from rendered prompts to rows with `value` and the `columns`; a row whose `value` is None
    has the reason in `skipped`. `answers`: computed over an answer, else over the prompt alone. `model`: computed by a
    model (`inputs.policy`). `depends_on`: what the values depend on besides that model and the settings of earlier
    stages. `finish` updates the whole table without a model.
    """

    name: str
    make: Callable[[SignalInputs], Compute]
    columns: dict[str, pa.DataType] = field(default_factory=dict)
    answers: bool = True
    model: bool = True
    depends_on: Callable[[RunDir], Any] = lambda run: None
    finish: Callable[[RunDir, pa.Table], pa.Table] = lambda run, table: table


def each(
    rendered: Sequence[RenderedPrompt], skip_reason: Callable[[RenderedPrompt], str | None], compute: Compute
) -> list[SignalRow]:
    """Rows of `compute` for the prompts without a `skip_reason`; the others get rows without a value."""
    reasons = [skip_reason(one) for one in rendered]
    rows = iter(compute([one for one, reason in zip(rendered, reasons, strict=True) if reason is None]))
    return [{"value": None, "skipped": reason} if reason else next(rows) for reason in reasons]


def no_answer(limit: int) -> Callable[[RenderedPrompt], str | None]:
    """Returns the reason why a prompt's answer has no likelihood under a model of `limit` tokens, or None."""

    def skip_reason(rendered: RenderedPrompt) -> str | None:
        if not rendered.answer_ids:
            return "no answer"
        return "longer than the model's context" if rendered.length > limit else None

    return skip_reason
