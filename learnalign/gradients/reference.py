"""log π_ref of the tokens whose gradients are taken (Eq. 7), in a pass of its own before them: one model is in memory at a time.

It is kept beside the rollouts, a file per shard, and stays valid for gradients with another β, projection or choice of parameters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal

import torch
import xxhash
from jaxtyping import Float
from torch import Tensor, nn

from learnalign.errors import RunError
from learnalign.executor import Work, Worker, execute
from learnalign.gradients.capture.batching import collate
from learnalign.gradients.grpo import Sample
from learnalign.gradients.inputs import ShardSamples, read_samples, windows
from learnalign.gradients.logprobs import token_log_probs
from learnalign.gradients.passes import Groups, Passes
from learnalign.policy import load_reference, model_digest, needs_reference, reference_path, settled
from learnalign.policy.kernels import fused
from learnalign.policy.memory import release_cached_memory
from learnalign.policy.parts import blocks_of
from learnalign.progress import Advance, Progress, unseen
from learnalign.rollouts.success import Success, load_success
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import fingerprint_of, is_done, read_safetensors, verified, write_safetensors

TENSOR = "log_probs"


class LogProbs(Passes):
    """Log-probabilities of sampled tokens under `model` at `temperature`."""

    def __init__(
        self, model: nn.Module, temperature: float = 1.0, batch_tokens: int | Literal["auto"] = "auto"
    ) -> None:
        widths = [sum(parameter.shape) for parameter in blocks_of(model)[1].parameters()]
        super().__init__(model, batch_tokens, 4 * max(widths) * next(model.parameters()).element_size())
        self._temperature = temperature

    def of(self, samples: Sequence[Sample], advance: Advance = unseen) -> Float[Tensor, "tokens"]:
        """log π(o_t) of all completion tokens, rollout after rollout in the order of the samples, on the model's device.

        In float32 (float64 for a float64 model). Returns without waiting for a GPU. Calls `advance` as samples get done.
        """
        log_probs = torch.zeros(sum(_counts(samples)), device=self.device, dtype=self.dtype)

        def work(groups: Groups) -> None:
            batch = collate(groups, self.device, self.dtype)
            with torch.no_grad():
                hidden = self.hidden(batch).flatten(0, 1)[batch.positions]
                own = token_log_probs(hidden, batch.targets, self.head, self._temperature)
            log_probs.index_copy_(0, batch.places, own)

        self.over_rows(samples, work, advance)
        return log_probs


def with_reference(samples: Sequence[Sample], log_probs: Float[Tensor, "tokens"]) -> list[Sample]:
    """The samples with log π_ref of their tokens, given as `LogProbs.of` returns it."""
    parts = iter(log_probs.cpu().split(_counts(samples)))
    return [
        dataclasses.replace(s, rollouts=[dataclasses.replace(one, reference=next(parts)) for one in s.rollouts])
        for s in samples
    ]


def _counts(samples: Sequence[Sample]) -> list[int]:
    return [len(one.token_ids) for sample in samples for one in sample.rollouts]


def refer(run: RunDir, shards: Sequence[Shard]) -> None:
    """Store log π_ref of the used rollouts of `shards` (of the run's slice) that have none yet, if β counts. Frees the model."""
    if not needs_reference(run.config):
        return
    wanted = {shard for shard in shards if run.slice is None or shard in run.slice}
    fingerprint = _fingerprints(run, _cut(run))

    def done(shard: Shard) -> bool:
        return shard not in wanted or is_done(run.reference_file(shard), fingerprint(shard), shard.rows)

    execute(run, Work(stage="grad", label="log-probabilities of the reference", make=_make_worker, done=done))
    release_cached_memory()


def sample_reader(run: RunDir, success: Mapping[str, Success]) -> Callable[[Shard], ShardSamples]:
    """Reads the samples of a shard, with log π_ref of their tokens if β counts: `refer` has stored it.

    Raises RunError if that is not there, or is of other rollouts.
    """
    cut = _cut(run)
    fingerprint = _fingerprints(run, cut) if needs_reference(run.config) else None

    def read(shard: Shard) -> ShardSamples:
        read = read_samples(run.rollouts_file(shard), success, run.config.grad, cut)
        if fingerprint is not None:
            file = run.reference_file(shard)
            tensors, _ = read_safetensors(file)
            if fingerprint_of(file) != fingerprint(shard):
                raise RunError(
                    f"{file} is of other rollouts or of another reference; run `learnalign grad {run.quoted}` again"
                )
            read.samples = with_reference(read.samples, tensors[TENSOR])
        return read

    return read


def _cut(run: RunDir) -> set[str]:
    return run.cut_ids() if run.config.grad.cascade else set()


def _fingerprints(run: RunDir, cut: set[str]) -> Callable[[Shard], str]:
    """Of a shard's file: a digest of the rollouts, of what decides which of them are used, and of the reference."""
    config = run.config
    about = [
        run.fingerprint("rollout"),
        model_digest(reference_path(config)),
        config.model.reference_revision,
        config.grad.rollouts,
        config.grad.prompts,
        sorted(cut),
    ]
    common = hashlib.sha256(json.dumps(about).encode())

    def of(shard: Shard) -> str:
        digest = common.copy()
        digest.update(xxhash.xxh3_128_digest(verified(run.rollouts_file(shard))))
        return digest.hexdigest()[:16]

    return of


def _make_worker(run: RunDir) -> Worker:
    return _ReferenceWorker(run, load_success(run))


class _ReferenceWorker:
    """The reference of one process, working on windows of shards."""

    def __init__(self, run: RunDir, success: Mapping[str, Success]) -> None:
        self._run, self._success, self._cut = run, success, _cut(run)
        self._fingerprint = _fingerprints(run, self._cut)
        config = run.config
        model = fused(load_reference(settled(run), spread=True), config.model.kernels)
        self._log_probs = LogProbs(model, config.rollout.temperature, config.grad.batch_tokens)

    def __call__(self, shards: Iterator[Shard], progress: Progress) -> None:
        for window in windows(shards, self._read, lambda: self._log_probs.budget.window):
            samples = list(chain.from_iterable(read.samples for _, read in window))
            with progress.part(sum(len(shard) for shard, _ in window)) as advance:
                log_probs = self._log_probs.of(samples, advance).cpu()
            parts = log_probs.split([sum(_counts(read.samples)) for _, read in window])
            for (shard, _), own in zip(window, parts, strict=True):
                file = self._run.reference_file(shard)
                write_safetensors(file, {TENSOR: own}, {}, self._fingerprint(shard), shard.rows)

    def _read(self, shard: Shard) -> ShardSamples:
        return read_samples(self._run.rollouts_file(shard), self._success, self._run.config.grad, self._cut)
