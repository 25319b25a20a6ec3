"""The `transformers` engine: samples with a Hugging Face model in this process, on its GPU or the CPU.

A seed gives the same tokens whatever else is in the batch; `generate` of transformers and its continuous batching draw
from one generator for the whole batch. It is also faster: 317 against 87 tokens per CPU second of `generate` on
SmolLM2-135M (README, "Measured"). A prompt is prefilled once for all its completions (prefill.py), every running
completion has a row of the cache (slots.py), and rows that end go to waiting prompts (continuous.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel

from learnalign.config import Config
from learnalign.errors import RunError, counted
from learnalign.policy import is_adapter, load_model, with_adapter
from learnalign.policy.memory import free_memory, release_cached_memory, work_through
from learnalign.policy.parts import context_length
from learnalign.progress import Advance, unseen
from learnalign.rollouts.engines.continuous import ContinuousBatch, Limits, PartialCompletion
from learnalign.rollouts.engines.contract import Completion, Request, Sampling, check_lengths, stop_ids
from learnalign.rollouts.engines.prefill import Prefill, common_prefix
from learnalign.rollouts.engines.slots import ATTENTION, keys_values

_ROWS = {"cpu": 256, "cuda": 1024}
_PREFILL_TOKENS = {"cpu": 4096, "cuda": 32768}
_SHARE = 0.4  # of the free memory that keys, values and logits may take
_LOGITS_COPIES = 6  # float32 tensors of the logits' size that sampling holds at once


class TransformersEngine:
    """Samples from the model or adapter at `path`; a context manager that holds the model while it is open."""

    name = "transformers"

    def __init__(self, config: Config, path: str, max_length: int | None = None) -> None:
        self._config, self._path, self._max_length = config, path, max_length

    def __enter__(self) -> Self:
        self._model = _load(self._config, self._path)
        self._stop = stop_ids(self._config, self._path)
        text = self._model.config.get_text_config()
        self.context_length = context_length(self._model)
        if self._max_length is not None:
            self.context_length = min(self.context_length, self._max_length)
        self._check_layers(text)
        self._token_bytes = _bytes_per_token(self._model)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._model
        release_cached_memory()

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], sampling: Sampling, ended: Advance = unseen
    ) -> dict[str, list[Completion]]:
        """See `Engine.generate`. Raises RunError if not even one row fits into GPU memory."""
        check_lengths(requests, self.context_length)
        longest = sampling.max_completion_length
        groups = {
            request.id: [
                PartialCompletion(request.prompt_ids, seed, min(longest, self.context_length - len(request.prompt_ids)))
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

    def _check_layers(self, text: PretrainedConfig) -> None:
        window = getattr(text, "sliding_window", None)
        alike = "full_attention" if window is None else "sliding_attention"  # of models without a list of layer types
        kinds = set(getattr(text, "layer_types", None) or [alike])
        if self._config.model.attn != "sdpa" and getattr(text, "attn_logit_softcapping", None):
            raise RunError(
                f"rollout.engine: transformers samples from {self._path} without its soft cap, as model.attn: sdpa "
                "does; set that, or use --set rollout.engine=vllm"
            )
        if kinds - {"full_attention", "sliding_attention"}:
            raise RunError(
                f"rollout.engine: transformers cannot sample from {self._path}, which has layers of kind "
                f"{', '.join(sorted(kinds - {'full_attention', 'sliding_attention'}))}; use --set rollout.engine=vllm"
            )
        if window is not None and kinds != {"full_attention"} and self.context_length > window:
            raise RunError(
                f"rollout.engine: transformers cannot sample from {self._path} beyond its sliding window of {window} "
                "tokens; use --set rollout.engine=vllm, or lower rollout.max_completion_length"
            )


def _unfinished(group: list[PartialCompletion]) -> list[PartialCompletion]:
    """The completions of a group that have not ended, emptied: the same seeds give the same tokens again."""
    left = [partial for partial in group if partial.finish_reason is None]
    for partial in left:
        partial.completion_ids.clear()
    return left


def _completion(partial: PartialCompletion) -> Completion:
    assert partial.finish_reason is not None
    return Completion(partial.completion_ids, partial.finish_reason)


def _load(config: Config, path: str) -> PreTrainedModel:
    """Load the model or adapter at `path`, with our attention.

    An adapter is not merged into the weights: bfloat16 would round its small changes away.
    """
    model = load_model(config, None if is_adapter(path) else path)
    model.set_attn_implementation(ATTENTION)
    return with_adapter(model, path) if is_adapter(path) else model


@torch.inference_mode()
def _bytes_per_token(model: PreTrainedModel) -> int:
    """Bytes of one token's keys and values in all layers, measured in a pass over one token."""
    cache = DynamicCache()
    model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), past_key_values=cache, use_cache=True)
    return sum(keys.nbytes + values.nbytes for keys, values in keys_values(cache))


ENGINE = TransformersEngine
