"""What the gradient stage produced: features, skipped prompts by reason, bad gradients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from learnalign.errors import RunError
from learnalign.gradients.grpo import Sample


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near tried gradients are to exact ones.

    Root mean square and largest error of the cosines of pairs, Spearman's correlation of alignment and of score, and the share of the
    exact top quarter by score that the tried top quarter contains.
    """

    cosine_error: float
    cosine_error_max: float
    alignment_spearman: float
    score_spearman: float
    top_quarter_overlap: float


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Stored features of `prompts` prompts against the exact gradients of all parameters, and the two causes of the difference.

    `features`: features against all parameters; `without_projection`: exact gradients of `modules` against all parameters, the cost of
    leaving parameters out; `projection_alone`: features against exact gradients of `modules`. `not_compared` says which parameters have
    no per-prompt gradients, if some have none: "all" then means `modules`.
    """

    prompts: int
    modules: str
    features: Agreement
    without_projection: Agreement
    projection_alone: Agreement
    not_compared: str = ""


@dataclass(frozen=True, kw_only=True)
class GradResult:
    """`features`: prompts with a gradient; `skipped`: prompts without one, by reason; `bad`: reason by id; `tokens` processed.

    `kernels`: what `model.kernels` was on the machines that made them, `off`, `compile`, or both.
    """

    features: int
    skipped: dict[str, int]
    bad: dict[str, str]
    tokens: int
    kernels: str = "off"
    verification: Verification | None = None


@dataclass
class Account:
    """Running totals over the shards, of which `result` makes a GradResult."""

    features: int = 0
    tokens: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    bad: dict[str, str] = field(default_factory=dict)
    kernels: Counter[str] = field(default_factory=Counter)

    def result(self) -> GradResult:
        return GradResult(
            features=self.features,
            tokens=self.tokens,
            skipped=dict(self.skipped),
            bad=self.bad,
            kernels=", ".join(sorted(self.kernels)) or "off",
        )


def count_tokens(samples: Sequence[Sample]) -> int:
    """Prompt and completion tokens of all rollouts used."""
    return sum(len(sample.prompt_ids) + len(each.token_ids) for sample in samples for each in sample.rollouts)


def bad_gradients(samples: Sequence[Sample], norms: Sequence[float]) -> dict[str, str]:
    """Reasons by id for norms that are zero or not finite; the samples' advantages are not zero."""
    bad = {}
    for sample, norm in zip(samples, norms, strict=True):
        if not math.isfinite(norm):
            bad[sample.id] = "its gradient is not finite (NaN or infinite)"
        elif norm == 0.0:
            bad[sample.id] = "its gradient is zero although its advantage is not"
    return bad


def check_bad(bad: Mapping[str, str], expected: int, max_bad: float) -> None:
    """Raise RunError if more than `max_bad` of the `expected` gradients are bad."""
    if len(bad) > max_bad * expected:
        id, reason = next(iter(bad.items()))
        raise RunError(
            f"{len(bad)} of {expected} gradients are bad, more than grad.max_bad ({max_bad:g}) allows; the first: prompt {id}: "
            f"{reason}. Ways out: set model.dtype to bfloat16 or float32 if float16 overflows; look at the policy (did warmup "
            "diverge?); raise grad.max_bad to leave these prompts out (quarantine.jsonl lists them)"
        )
