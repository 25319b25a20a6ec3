"""Continuous batching: the rows of completions that end go to waiting prompts while the other rows go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from learnalign.progress import Advance, unseen
from learnalign.rollouts.engines.contract import FinishReason, NotFinite, Sampling
from learnalign.rollouts.engines.prefill import Prefill
from learnalign.rollouts.engines.sampling import NONE, choose, uniforms
from learnalign.rollouts.engines.slots import SlotCache


@dataclass(slots=True)
class PartialCompletion:
    """A completion in the making, of at most `room` tokens; it ends when it has a `finish_reason`."""

    prompt_ids: Sequence[int]
    seed: int
    room: int
    completion_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Rows that run together, tokens of one prefill, token ids that end a completion, and how tokens are drawn."""

    rows: int
    prefill_tokens: int
    stop: frozenset[int]
    sampling: Sampling


class ContinuousBatch:
    """Completes groups of the same prompt, of at most `limits.rows` completions each; reports those that end to `ended`."""

    def __init__(self, model: PreTrainedModel, prefill: Prefill, limits: Limits, ended: Advance = unseen) -> None:
        self._model, self._prefill, self._limits, self._ended = model, prefill, limits, ended
        self._cache: SlotCache | None = None
        self._running: list[PartialCompletion] = []
        self._seeds = np.zeros(limits.rows, np.uint64)
        self._steps = np.zeros(limits.rows, np.int64)
        self._positions = np.zeros(limits.rows, np.int64)
        self._tokens = np.zeros(limits.rows, np.int64)

    def run(self, groups: Iterable[list[PartialCompletion]]) -> None:
        """Complete all groups; prompts of similar length should be neighbours."""
        waiting = deque(groups)
        while waiting or self._running:
            free = self._limits.rows - len(self._running)
            if waiting and (not self._running or free >= max(len(waiting[0]), self._limits.rows // 8)):
                self._admit(waiting, free)
            if self._running:
                self._step()

    def _admit(self, waiting: deque[list[PartialCompletion]], free: int) -> None:
        """Prefill as many waiting groups as fit into the free rows and into one prefill."""
        groups: list[list[PartialCompletion]] = []
        longest = 0
        while waiting and sum(map(len, groups)) + len(waiting[0]) <= free:
            longest = max(longest, len(waiting[0][0].prompt_ids))
            if groups and longest * (len(groups) + 1) > self._limits.prefill_tokens:
                break
            groups.append(waiting.popleft())
        logits, cache = self._prefill([group[0].prompt_ids for group in groups])
        partials = [partial for group in groups for partial in group]
        source = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        seeds = np.array([partial.seed for partial in partials], np.uint64)
        tokens = self._draw(logits[self._index(source)], seeds, np.zeros(len(partials), np.int64))
        going = [i for i, partial in enumerate(partials) if not self._append(partial, int(tokens[i]))]
        first = len(self._running)
        rows = np.arange(first, first + len(going))
        self._running += [partials[i] for i in going]
        self._seeds[rows], self._steps[rows], self._tokens[rows] = seeds[going], 1, tokens[going]
        self._positions[rows] = [len(partials[i].prompt_ids) for i in going]
        if self._cache is None:
            self._cache = SlotCache(self._limits.rows, cache)
        if going:
            self._cache.fill(self._index(rows), self._index(source[going]), cache)
        self._ended(len(partials) - len(going))

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
        tokens = self._draw(logits, self._seeds[:count], self._steps[:count])
        self._tokens[:count] = tokens
        self._steps[:count] += 1
        self._positions[:count] += 1
        ended = [row for row, token in enumerate(tokens.tolist()) if self._append(self._running[row], token)]
        if ended:
            self._close(ended)
            self._ended(len(ended))

    def _draw(self, logits: torch.Tensor, seeds: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The next token of every row, from its logits, seed and step."""
        sampling = self._limits.sampling
        tokens = choose(logits, uniforms(seeds, steps), sampling.temperature, sampling.top_p).cpu().numpy()
        if (tokens == NONE).any():
            raise NotFinite(
                f"the policy's logits are NaN or infinite in {self._model.dtype}; set model.dtype to float32 (or bfloat16, if this was "
                "float16), or use another checkpoint if a training diverged"
            )
        return tokens

    def _append(self, partial: PartialCompletion, token: int) -> bool:
        """Add a token; returns whether the completion has ended."""
        partial.completion_ids.append(token)
        if token in self._limits.stop:
            partial.finish_reason = "stop"
        elif len(partial.completion_ids) == partial.room:
            partial.finish_reason = "length"
        return partial.finish_reason is not None

    def _close(self, ended: list[int]) -> None:
        """Free the rows of ended completions: the last running rows move into the holes."""
        assert self._cache is not None
        count = len(self._running) - len(ended)
        closed = set(ended)
        holes = [row for row in ended if row < count]
        movers = [row for row in range(count, len(self._running)) if row not in closed]
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
