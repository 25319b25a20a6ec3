"""Samples from a model that is loaded already, with `slots.ATTENTION`: a prompt is prefilled once for all its completions
(prefill.py), every running completion has a row of the cache (slots.py), and rows that end go to waiting prompts
(continuous.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from learnalign.errors import RunError, counted
from learnalign.policy.memory import free_memory, work_through
from learnalign.progress import Advance, unseen
from learnalign.rollouts.engines.continuous import ContinuousBatch, Limits, PartialCompletion
from learnalign.rollouts.engines.contract import Completion, Request, Sampling, check_lengths
from learnalign.rollouts.engines.prefill import Prefill, common_prefix
from learnalign.rollouts.engines.slots import keys_values

_ROWS = {"cpu": 256, "cuda": 1024}
_PREFILL_TOKENS = {"cpu": 4096, "cuda": 32768}
_SHARE = 0.4  # of the free memory that keys, values and logits may take
_LOGITS_COPIES = 6  # float32 tensors of the logits' size that sampling holds at once


class Sampler:
    """Completions of `model` that end with a token of `stop`; prompt and completion have at most `context_length` tokens."""

    def __init__(self, model: PreTrainedModel, stop: frozenset[int], context_length: int) -> None:
        self._model, self._stop, self._context_length = model, stop, context_length
        self._token_bytes = _bytes_per_token(model)

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], sampling: Sampling, ended: Advance = unseen
    ) -> dict[str, list[Completion]]:
        """See `Engine.generate`. Raises RunError if not even one row fits into GPU memory."""
        check_lengths(requests, self._context_length)
        longest = sampling.max_completion_length
        groups = {
            request.id: [
                PartialCompletion(
                    request.prompt_ids, seed, min(longest, self._context_length - len(request.prompt_ids))
                )
                for seed in request.seeds
            ]
            for request in requests
        }
        partials = [partial for group in groups.values() for partial in group]
        columns = max((len(partial.prompt_ids) + partial.room for partial in partials), default=0)

        def sample(rows: int) -> None:
            unfinished = [left for left in map(_unfinished, groups.values()) if left]
            prefill_tokens = _PREFILL_TOKENS[self._model.device.type]
            limits = Limits(rows=rows, prefill_tokens=prefill_tokens, stop=self._stop, sampling=sampling)
            self._run(unfinished, limits, ended)

        def half(rows: int) -> list[int]:
            if rows == 1:
                raise RunError(
                    f"out of memory with one sample of up to {counted(columns, 'token')}; lower "
                    "rollout.max_completion_length, free memory, or take a smaller model"
                )
            return [-(-rows // 2)]

        work_through([min(self._rows(columns), len(partials))] if partials else [], sample, half)
        return {id: [_completion(partial) for partial in group] for id, group in groups.items()}

    def _run(self, groups: Sequence[list[PartialCompletion]], limits: Limits, ended: Advance) -> None:
        """Run the longest prompts first: the cache grows to its full size at once, and a batch that is too large fails early."""
        groups = sorted(groups, key=lambda group: -len(group[0].prompt_ids))
        prefix = common_prefix([group[0].prompt_ids for group in groups]) if len(groups) > 1 else []
        pieces = (group[i : i + limits.rows] for group in groups for i in range(0, len(group), limits.rows))
        ContinuousBatch(self._model, Prefill(self._model, prefix), limits, ended).run(pieces)

    def _rows(self, columns: int) -> int:
        """Rows that may run together: their keys, values and logits take at most a share of the free memory."""
        row_bytes = columns * self._token_bytes + _LOGITS_COPIES * 4 * self._model.config.get_text_config().vocab_size
        return max(1, min(_ROWS[self._model.device.type], int(_SHARE * free_memory(self._model.device) / row_bytes)))


def _unfinished(group: list[PartialCompletion]) -> list[PartialCompletion]:
    """The completions of a group that have not ended, emptied: the same seeds give the same tokens again."""
    left = [partial for partial in group if partial.finish_reason is None]
    for partial in left:
        partial.completion_ids.clear()
    return left


def _completion(partial: PartialCompletion) -> Completion:
    assert partial.finish_reason is not None
    return Completion(partial.completion_ids, partial.finish_reason)


@torch.inference_mode()
def _bytes_per_token(model: PreTrainedModel) -> int:
    """Bytes of one token's keys and values in all layers, measured in a pass over one token."""
    cache = DynamicCache()
    model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), past_key_values=cache, use_cache=True)
    return sum(keys.nbytes + values.nbytes for keys, values in keys_values(cache))
