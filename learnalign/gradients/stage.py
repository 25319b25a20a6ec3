"""Stage 2: the projected GRPO gradient of every learnable prompt, shard by shard (LearnAlign §4.4, step 2)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from learnalign import rollouts
from learnalign.errors import InputError, RunError
from learnalign.executor import execute
from learnalign.gradients.exact.comparison import verify_features
from learnalign.gradients.exact.stage import exact_alignments
from learnalign.gradients.inputs import Selection, read_samples, why_skipped
from learnalign.gradients.result import Account, GradResult, bad_gradients, check_bad, count_tokens
from learnalign.gradients.setup import make_engine
from learnalign.progress import Advance
from learnalign.rollouts.success import Success, load_success
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import is_done, read_safetensors, write_safetensors

STAGE = "grad"


def grad(run: RunDir, verify: int = 0) -> GradResult:
    """Write gradients/part-*.safetensors (unit features and norms), or exact.parquet with `grad.projection: exact`.

    Rollouts are drawn first where there are none; finished shards stay as they are. With `verify`, the features of that many
    prompts are compared with exact gradients, and what comes of it is kept in run.json. Raises RunError where more than
    `grad.max_bad` of the gradients are NaN, infinite, or zero at an advantage that is not.
    """
    settings = run.config.grad
    if verify and settings.projection == "exact":
        raise InputError(
            "--verify compares a projection with exact gradients; with grad.projection: exact there is none"
        )
    if not run.is_finished("rollout"):
        rollouts.rollout(run)
    with run.stage(STAGE) as record:
        success = load_success(run)
        expected = sum(why_skipped(row, settings.prompts) is None for row in success.values())
        work = exact_alignments if settings.projection == "exact" else _features
        result = _account_for_all(run, success, work(run, success, expected))
        run.quarantine(STAGE, [Quarantined(id=id, reason=reason) for id, reason in result.bad.items()])
        record.counts.update(features=result.features, bad=len(result.bad), tokens=result.tokens, **result.skipped)
        check_bad(result.bad, result.features + len(result.bad), settings.max_bad)
        if verify:
            result = dataclasses.replace(result, verification=verify_features(run, success, verify))
            record.notes["verification"] = dataclasses.asdict(result.verification)  # type: ignore[arg-type]
    return result


def _account_for_all(run: RunDir, success: Mapping[str, Success], result: GradResult) -> GradResult:
    """Count the prompts that were left out at rollout, and those whose success rate came without completions."""
    left_out = sum(row.samples == 0 for row in success.values())
    counted = result.features + len(result.bad) + sum(result.skipped.values())
    missing = len(success) - left_out - counted
    if missing and not counted:
        raise RunError(
            f"{run.path}: the rollouts came as counts, without completions to take gradients of; give completions with "
            f"`learnalign rollout {run.path} --from FILE --overwrite`, or sample them with `learnalign rollout {run.path} "
            "--overwrite`; or select by what needs no gradient: --method learnability"
        )
    more = {"left_out": left_out, "no_completions": missing}
    return dataclasses.replace(
        result, skipped=result.skipped | {reason: count for reason, count in more.items() if count}
    )


def _features(run: RunDir, success: Mapping[str, Success], expected: int) -> GradResult:
    fingerprint = run.fingerprint(STAGE)
    todo = [shard for shard in run.shards() if not is_done(run.gradients_file(shard), fingerprint)]
    workers: list[_Worker] = []

    def make_worker() -> _Worker:
        workers.append(_Worker(run, success, expected))
        return workers[-1]

    execute(run, "gradients", todo, make_worker)
    for worker in workers:
        worker.finish()
    account = Account()
    for shard in run.shards():
        _, metadata = read_safetensors(run.gradients_file(shard))
        account.features += len(json.loads(metadata["ids"]))
        account.tokens += int(metadata["tokens"])
        account.skipped.update(json.loads(metadata["skipped"]))
        account.bad |= json.loads(metadata["bad"])
    return account.result()


class _Worker:
    """Holds the engine of one process and works on shards; each is written while the next one is computed."""

    def __init__(self, run: RunDir, success: Mapping[str, Success], expected: int) -> None:
        self._run, self._success, self._expected = run, success, expected
        self._engine = make_engine(run)
        self._bad: dict[str, str] = {}
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __call__(self, shard: Shard, advance: Advance) -> None:
        """Compute a shard; raises what went wrong with writing the one before."""
        selection = read_samples(self._run.rollouts_file(shard), self._success, self._run.config.grad)
        features = _to_host(self._engine.features(selection.samples, advance))
        self.finish()
        self._writing = self._writer.submit(self._write, shard, selection, features)

    def finish(self) -> None:
        """Wait for the shard that is being written."""
        if self._writing is not None:
            self._writing.result()

    def _write(self, shard: Shard, selection: Selection, fetch: Callable[[], Tensor]) -> None:
        run, samples = self._run, selection.samples
        features = fetch().double()
        norms = features.norm(dim=1)
        bad = bad_gradients(samples, norms.tolist())
        kept = [i for i, sample in enumerate(samples) if sample.id not in bad]
        tensors = {"features": (features[kept] / norms[kept].unsqueeze(1)).float(), "norms": norms[kept].float()}
        metadata = {
            "ids": json.dumps([samples[i].id for i in kept]),
            "bad": json.dumps(bad),
            "skipped": json.dumps(selection.skipped),
            "tokens": str(count_tokens(samples)),
        }
        write_safetensors(run.gradients_file(shard), tensors, metadata, run.fingerprint(STAGE))
        self._bad |= bad
        check_bad(self._bad, self._expected, run.config.grad.max_bad)


def _to_host(features: Tensor) -> Callable[[], Tensor]:
    """Start copying to the CPU; the result waits for the copy, not for what the device is given after it."""
    if features.device.type != "cuda":
        return features.cpu
    copy = torch.empty(features.shape, dtype=features.dtype, pin_memory=True).copy_(features, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> Tensor:
        copied.synchronize()
        return copy

    return wait
