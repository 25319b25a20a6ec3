"""Stage 2: the projected GRPO gradient of every learnable prompt, shard by shard (LearnAlign §4.4, step 2)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from learnalign import rollouts
from learnalign.config import Config
from learnalign.errors import InputError, RunError
from learnalign.executor import Work, Worker, execute, gpus_of_one
from learnalign.gradients.cascade import check_cascade, choose_kept
from learnalign.gradients.exact.comparison import FEWEST, verify_features
from learnalign.gradients.exact.stage import exact_alignments
from learnalign.gradients.inputs import ShardSamples, check_modules, make_engine, why_skipped, windows
from learnalign.gradients.reference import refer, sample_reader
from learnalign.gradients.result import Account, GradResult, bad_gradients, check_bad, count_tokens
from learnalign.gradients.sums import sums_of
from learnalign.policy import settled
from learnalign.policy.kernels import choose_kernels
from learnalign.progress import Progress
from learnalign.rollouts.success import Success, load_success
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import is_done, read_metadata, write_safetensors

STAGE = "grad"


def grad(run: RunDir, verify: int = 0, anyway: bool = False) -> GradResult:
    """Write gradients/part-*.safetensors (unit features and norms), or exact.parquet with `grad.projection: exact`.

    Draws rollouts first if there are none (`anyway` as in `rollout`); finished shards stay as they are. With `verify`,
    compares the features of that many prompts with exact gradients and keeps the result in run.json. Raises RunError if
    more than `grad.max_bad` of the gradients are NaN, infinite, or zero although the advantage is not.
    """
    settings = run.config.grad
    if 0 < verify < FEWEST:
        raise InputError(f"--verify {verify}: it compares at least {FEWEST} prompts; give a larger number")
    if verify and settings.projection == "exact":
        raise InputError(
            "--verify compares a projection with exact gradients; grad.projection: exact has no projection"
        )
    if run.slice and not run.is_finished("rollout"):
        raise RunError(
            f"{run.path} has no success rates yet, which need the rollouts of all slices; run `learnalign rollout {run.quoted}` "
            f"first, with --slice i/{run.slice.count} for each i or without"
        )
    if run.config.model.device_map and (verify or settings.projection == "exact"):
        raise InputError(
            f"{'--verify' if verify else 'grad.projection: exact'} takes gradients of a model on one device, and model.device_map is "
            f"{run.config.model.device_map}; set that to null, or take a projection without --verify"
        )
    if not run.is_finished("rollout"):
        check_modules(run.config)  # not after hours of rollouts
        check_cascade(run)
        rollouts.rollout(run, anyway)
    with run.stage(STAGE) as record:
        success = load_success(run)
        with run.alone():
            cascade = choose_kept(run, success)
        if cascade:
            record.notes["cascade"] = dataclasses.asdict(cascade)
        cut = run.cut_ids() if cascade else set()
        expected = sum(why_skipped(row, settings.prompts) is None for row in success.values()) - len(cut)
        work = exact_alignments if settings.projection == "exact" else _features
        result = _count_missing(run, success, work(run, expected))
        run.quarantine(STAGE, [Quarantined(id=id, reason=reason) for id, reason in result.bad.items()])
        record.counts.update(features=result.features, bad=len(result.bad), tokens=result.tokens, **result.skipped)
        record.notes["kernels"] = result.kernels
        check_bad(result.bad, result.features + len(result.bad), settings.max_bad)
        if verify:
            result = dataclasses.replace(result, verification=verify_features(run, success, verify))
            record.notes["verification"] = dataclasses.asdict(result.verification)  # type: ignore[arg-type]
    return result


def _count_missing(run: RunDir, success: Mapping[str, Success], result: GradResult) -> GradResult:
    """Add the prompts left out by rollout, and those whose success rate came without completions, to the skipped ones."""
    left_out = sum(row.samples == 0 for row in success.values())
    counted = result.features + len(result.bad) + sum(result.skipped.values())
    missing = len(success) - left_out - counted
    if missing and not counted:
        raise RunError(
            f"{run.path}: the rollouts came as counts, without completions to take gradients of; give completions with "
            f"`learnalign rollout {run.quoted} --from FILE --overwrite`, or sample them with `learnalign rollout {run.quoted} "
            "--overwrite`; or select with a method that needs no gradient: --method learnability"
        )
    more = {"left_out": left_out, "no_completions": missing}
    return dataclasses.replace(
        result, skipped=result.skipped | {reason: count for reason, count in more.items() if count}
    )


def _features(run: RunDir, expected: int) -> GradResult:
    fingerprint = run.fingerprint(STAGE)
    settled(run)  # by this process, not by several workers

    def done(shard: Shard) -> bool:
        return is_done(run.gradients_file(shard), fingerprint, shard.rows)

    refer(run, [shard for shard in run.shards() if not done(shard)])
    options = {"expected": expected}
    gpus = gpus_of(run.config)
    execute(run, Work(stage=STAGE, label="gradients", make=_make_worker, done=done, options=options, gpus=gpus))
    account = Account()
    for shard in run.shards():
        metadata = read_metadata(run.gradients_file(shard))
        account.features += len(json.loads(metadata["ids"]))
        account.tokens += int(metadata["tokens"])
        account.skipped.update(json.loads(metadata["skipped"]))
        account.bad |= json.loads(metadata["bad"])
        account.kernels[metadata.get("kernels", "off")] += 1
    return account.result()


def gpus_of(config: Config) -> int:
    """GPUs of a worker: those that its model is spread over, all of this machine unless `executor` says otherwise."""
    executor = config.executor
    spread = config.model.device_map is not None and executor.kind == "local" and executor.gpus_per_worker == 1
    return gpus_of_one(executor.devices) if spread else 1


def _make_worker(run: RunDir, expected: int) -> Worker:
    return _GradientWorker(run, load_success(run), expected)


class _GradientWorker:
    """The engine of one process, working on windows of shards; each is written while the next one is computed."""

    def __init__(self, run: RunDir, success: Mapping[str, Success], expected: int) -> None:
        self._run, self._success, self._expected = run, success, expected
        self._read = sample_reader(run, success)
        self._engine = make_engine(run)
        self._bad: dict[str, str] = {}

    def __call__(self, shards: Iterator[Shard], progress: Progress) -> None:
        """Compute all shards; raises the error of writing one after the window that follows it."""
        writing: Future[None] | None = None
        with ThreadPoolExecutor(1) as writer:
            for window in windows(shards, self._read, lambda: self._engine.budget.window):
                samples = [sample for _, read in window for sample in read.samples]
                with progress.part(sum(len(shard) for shard, _ in window)) as advance:
                    fetch = _to_host(self._engine.features(samples, advance))
                if writing is not None:
                    writing.result()
                writing = writer.submit(self._write, window, fetch)
            if writing is not None:
                writing.result()

    def _write(self, window: Sequence[tuple[Shard, ShardSamples]], fetch: Callable[[], Tensor]) -> None:
        parts = fetch().double().split([len(read.samples) for _, read in window])
        for (shard, read), features in zip(window, parts, strict=True):
            self._write_shard(shard, read, features)

    def _write_shard(self, shard: Shard, read: ShardSamples, features: Tensor) -> None:
        run, samples = self._run, read.samples
        norms = features.norm(dim=1)
        bad = bad_gradients(samples, norms.tolist())
        kept = [i for i, sample in enumerate(samples) if sample.id not in bad]
        dtype = getattr(torch, run.config.grad.feature_dtype)
        units = (features[kept] / norms[kept].unsqueeze(1)).to(dtype)
        tensors = {"features": units, "norms": norms[kept].float()}
        tensors |= sums_of(units, [self._success[samples[i].id] for i in kept])
        metadata = {
            "ids": json.dumps([samples[i].id for i in kept]),
            "bad": json.dumps(bad),
            "skipped": json.dumps(read.skipped),
            "tokens": str(count_tokens(samples)),
            "kernels": choose_kernels(run.config.model.kernels),
        }
        write_safetensors(run.gradients_file(shard), tensors, metadata, run.fingerprint(STAGE), shard.rows)
        self._bad |= bad
        check_bad(self._bad, self._expected, run.config.grad.max_bad)


def _to_host(features: Tensor) -> Callable[[], Tensor]:
    """Start copying to the CPU; the result waits for the copy, not for later work of the device."""
    if features.device.type != "cuda":
        return features.cpu
    copy = torch.empty(features.shape, dtype=features.dtype, pin_memory=True).copy_(features, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> Tensor:
        copied.synchronize()
        return copy

    return wait
