"""Continuous batching: rows whose sample has ended are given to waiting prompts while the others go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from learnalign.progress import Advance, unseen
from learnalign.rollouts.engines.contract import FinishReason
from learnalign.rollouts.engines.prefill import Prefill
from learnalign.rollouts.engines.sampling import choose, uniforms
from learnalign.rollouts.engines.slots import SlotCache


@dataclass(slots=True)
class Sample:
    """One completion in the making; at most `room` tokens."""

    prompt_ids: Sequence[int]
    seed: int
    room: int
    completion_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Rows that run together, tokens of one prefill, what ends a completion, and the distribution sampled from."""

    rows: int
    prefill_tokens: int
    stop: frozenset[int]
    temperature: float
    top_p: float


class ContinuousBatch:
    """Completes groups of samples of the same prompt; a group is at most `limits.rows` samples. `ended` is told how many have."""

    def __init__(self, model: PreTrainedModel, prefill: Prefill, limits: Limits, ended: Advance = unseen) -> None:
        self._model, self._prefill, self._limits, self._ended = model, prefill, limits, ended
        self._cache: SlotCache | None = None
        self._running: list[Sample] = []
        self._seeds = np.zeros(limits.rows, np.uint64)
        self._steps = np.zeros(limits.rows, np.int64)
        self._positions = np.zeros(limits.rows, np.int64)
        self._tokens = np.zeros(limits.rows, np.int64)

    def run(self, groups: Iterable[list[Sample]]) -> None:
        """Complete all samples; prompts of similar length should stand together."""
        waiting = deque(groups)
        while waiting or self._running:
            free = self._limits.rows - len(self._running)
            if waiting and (not self._running or free >= max(len(waiting[0]), self._limits.rows // 8)):
                self._admit(waiting, free)
            if self._running:
                self._step()

    def _admit(self, waiting: deque[list[Sample]], free: int) -> None:
        """Prefill as many waiting groups as there are rows for and one prefill holds."""
        groups: list[list[Sample]] = []
        longest = 0
        while waiting and sum(map(len, groups)) + len(waiting[0]) <= free:
            longest = max(longest, len(waiting[0][0].prompt_ids))
            if groups and longest * (len(groups) + 1) > self._limits.prefill_tokens:
                break
            groups.append(waiting.popleft())
        logits, cache = self._prefill([group[0].prompt_ids for group in groups])
        samples = [sample for group in groups for sample in group]
        source = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        seeds = np.array([sample.seed for sample in samples], np.uint64)
        numbers = uniforms(seeds, np.zeros(len(samples), np.int64))
        tokens = (
            choose(logits[self._index(source)], numbers, self._limits.temperature, self._limits.top_p).cpu().numpy()
        )
        going = [i for i, sample in enumerate(samples) if not self._append(sample, int(tokens[i]))]
        first = len(self._running)
        rows = np.arange(first, first + len(going))
        self._running += [samples[i] for i in going]
        self._seeds[rows], self._steps[rows], self._tokens[rows] = seeds[going], 1, tokens[going]
        self._positions[rows] = [len(samples[i].prompt_ids) for i in going]
        if self._cache is None:
            self._cache = SlotCache(self._limits.rows, cache)
        if going:
            self._cache.fill(self._index(rows), self._index(source[going]), cache)
        self._ended(len(samples) - len(going))

    def _step(self) -> None:
        """One token for every running row."""
        assert self._cache is not None
        count = len(self._running)
        positions = self._index(self._positions[:count])
        mask = self._cache.prepare(positions, int(self._positions[:count].max()))
        logits = self._model(
            input_ids=self._index(self._tokens[:count]).unsqueeze(1),
            position_ids=positions.unsqueeze(1),
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]
        numbers = uniforms(self._seeds[:count], self._steps[:count])
        tokens = choose(logits, numbers, self._limits.temperature, self._limits.top_p).cpu().numpy()
        self._tokens[:count] = tokens
        self._steps[:count] += 1
        self._positions[:count] += 1
        ended = [row for row, token in enumerate(tokens.tolist()) if self._append(self._running[row], token)]
        if ended:
            self._close(ended)
            self._ended(len(ended))

    def _append(self, sample: Sample, token: int) -> bool:
        """Add a token; whether the sample has ended."""
        sample.completion_ids.append(token)
        if token in self._limits.stop:
            sample.finish_reason = "stop"
        elif len(sample.completion_ids) == sample.room:
            sample.finish_reason = "length"
        return sample.finish_reason is not None

    def _close(self, ended: list[int]) -> None:
        """Give up the rows of ended samples: the last running rows move into the holes."""
        assert self._cache is not None
        count = len(self._running) - len(ended)
        gone = set(ended)
        holes = [row for row in ended if row < count]
        movers = [row for row in range(count, len(self._running)) if row not in gone]
        if holes:
            self._cache.move(
                self._index(np.array(movers)), self._index(np.array(holes)), int(self._positions[movers].max())
            )
        for array in (self._seeds, self._steps, self._positions, self._tokens):
            array[holes] = array[movers]
        for hole, mover in zip(holes, movers, strict=True):
            self._running[hole] = self._running[mover]
        del self._running[count:]

    def _index(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(rows)).to(self._model.device)
