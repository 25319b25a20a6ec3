"""Stage 2: the projected GRPO gradient of every learnable prompt, shard by shard (LearnAlign §4.4, step 2)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learnalign import rollouts
from learnalign.errors import RunError
from learnalign.executor import execute
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample
from learnalign.gradients.samples import read_samples, why_skipped
from learnalign.policy import load_model, load_policy
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import is_done, read_parquet, read_safetensors, write_safetensors

STAGE = "grad"


@dataclass(frozen=True, kw_only=True)
class GradResult:
    """Prompts with a feature, without one by reason (solved, unsolved, unscored, zero_advantage), and bad ones by id."""

    features: int
    skipped: dict[str, int]
    bad: dict[str, str]
    tokens: int


def grad(run: RunDir) -> GradResult:
    """Write gradients/part-*.safetensors: unit features and their norms, one row a learnable prompt.

    Rollouts are drawn first where there are none. Finished shards stay as they are. Raises RunError where more than `grad.max_bad` of
    the gradients are NaN, infinite, or zero at an advantage that is not.
    """
    if not run.is_finished("rollout"):
        rollouts.rollout(run)
    with run.stage(STAGE) as record:
        success = read_success(run)
        fingerprint = run.fingerprint(STAGE)
        todo = [shard for shard in run.shards() if not is_done(run.gradients_file(shard), fingerprint)]
        limit = run.config.grad.max_bad * _expected(run, success)
        execute(run, "gradients", todo, lambda: _Worker(run, success, limit))
        result = _collect(run)
        run.quarantine(STAGE, [Quarantined(id=id, reason=reason) for id, reason in result.bad.items()])
        record.counts.update(features=result.features, bad=len(result.bad), tokens=result.tokens, **result.skipped)
        check_bad(result.bad, limit, run)
    return result


def read_success(run: RunDir) -> dict[str, dict[str, Any]]:
    """Rows of success.parquet by id."""
    return {row["id"]: row for row in read_parquet(run.success_file).to_pylist()}


def _expected(run: RunDir, success: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(why_skipped(row, run.config.grad.prompts) is None for row in success.values())


def make_engine(run: RunDir) -> GradientEngine:
    """The engine of a run: its policy, and the base model as reference where β > 0 and the policy is no adapter on it."""
    config = run.config
    settings = GradientSettings(
        seed=config.seed,
        beta=config.grad.beta if config.warmup.size else 0.0,  # the policy is its own reference: π_ref/π_θ − 1 = 0
        temperature=config.rollout.temperature,
        modules=config.grad.modules,
        dim=config.grad.dim,
        batch_tokens=config.grad.batch_tokens,
    )
    policy = load_policy(run)
    needs_reference = settings.beta > 0 and not hasattr(policy, "disable_adapter")
    return GradientEngine(policy, settings, load_model(config) if needs_reference else None)


class _Worker:
    """Holds the engine of one process and works on shards."""

    def __init__(self, run: RunDir, success: Mapping[str, Mapping[str, Any]], limit: float) -> None:
        self._run, self._success, self._limit = run, success, limit
        self._engine = make_engine(run)
        self._bad: dict[str, str] = {}

    def __call__(self, shard: Shard) -> None:
        run = self._run
        selection = read_samples(run.rollouts_file(shard), self._success, run.config.grad)
        samples = selection.samples
        features = self._engine.features(samples).cpu()
        norms = features.double().norm(dim=1)
        bad = bad_gradients(samples, norms)
        kept = [i for i, sample in enumerate(samples) if sample.id not in bad]
        tensors = {
            "features": (features[kept].double() / norms[kept].unsqueeze(1)).float(),
            "norms": norms[kept].float(),
        }
        metadata = {
            "ids": json.dumps([samples[i].id for i in kept]),
            "bad": json.dumps(bad),
            "skipped": json.dumps(selection.skipped),
            "tokens": str(sum(count_tokens(sample) for sample in samples)),
        }
        write_safetensors(run.gradients_file(shard), tensors, metadata, run.fingerprint(STAGE))
        self._bad |= bad
        check_bad(self._bad, self._limit, run)


def count_tokens(sample: Sample) -> int:
    """Prompt and completion tokens of all rollouts used."""
    return sum(len(sample.prompt_ids) + len(completion.token_ids) for completion in sample.completions)


def bad_gradients(samples: list[Sample], norms: Tensor) -> dict[str, str]:
    """Reasons by id for gradients that cannot be right; every sample here has an advantage that is not zero."""
    bad = {}
    for sample, norm in zip(samples, norms.tolist(), strict=True):
        if not torch.isfinite(torch.tensor(norm)):
            bad[sample.id] = "its gradient is not finite (NaN or infinite)"
        elif norm == 0.0:
            bad[sample.id] = "its gradient is zero though its advantage is not"
    return bad


def check_bad(bad: Mapping[str, str], limit: float, run: RunDir) -> None:
    """Raise RunError where more gradients are bad than `limit`."""
    if len(bad) > limit:
        id, reason = next(iter(bad.items()))
        raise RunError(
            f"{len(bad)} gradients are bad, more than grad.max_bad ({run.config.grad.max_bad:g}) allows; the first: prompt {id}: {reason}. "
            "Ways out: --set model.dtype=bfloat16 or float32 where float16 overflows; look at the policy (did warmup diverge?); raise "
            "grad.max_bad to leave these prompts out (quarantine.jsonl)"
        )


def _collect(run: RunDir) -> GradResult:
    features, tokens = 0, 0
    skipped: Counter[str] = Counter()
    bad: dict[str, str] = {}
    for shard in run.shards():
        _, metadata = read_safetensors(run.gradients_file(shard))
        features += len(json.loads(metadata["ids"]))
        tokens += int(metadata["tokens"])
        skipped.update(json.loads(metadata["skipped"]))
        bad |= json.loads(metadata["bad"])
    return GradResult(features=features, skipped=dict(skipped), bad=bad, tokens=tokens)
