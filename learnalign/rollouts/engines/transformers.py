"""The `transformers` engine: samples with a Hugging Face model in this process, on its GPU or the CPU.

A seed gives the same tokens whatever else is in the batch; `generate` of transformers and its continuous batching draw
from one generator for the whole batch. It is also faster: 317 against 87 tokens per CPU second of `generate` on
SmolLM2-135M (README, "Measured"). sampler.py does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from transformers import PretrainedConfig, PreTrainedModel

from learnalign.config import Config
from learnalign.errors import RunError
from learnalign.policy import is_adapter, load_model, with_adapter
from learnalign.policy.memory import release_cached_memory
from learnalign.policy.parts import context_length
from learnalign.progress import Advance, unseen
from learnalign.rollouts.engines.contract import Completion, Request, Sampling, stop_ids
from learnalign.rollouts.engines.sampler import Sampler
from learnalign.rollouts.engines.slots import ATTENTION


class TransformersEngine:
    """Samples from the model or adapter at `path`; a context manager that holds the model while it is open."""

    name, wanted = "transformers", 0

    def __init__(self, config: Config, path: str, max_length: int | None = None) -> None:
        self._config, self._path, self._max_length = config, path, max_length

    def __enter__(self) -> Self:
        model = _load(self._config, self._path)
        self.context_length = context_length(model)
        if self._max_length is not None:
            self.context_length = min(self.context_length, self._max_length)
        self._check_layers(model.config.get_text_config())
        self._sampler = Sampler(model, stop_ids(self._config, self._path), self.context_length)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._sampler
        release_cached_memory()

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, ended: Advance = unseen
    ) -> dict[str, list[Completion]]:
        """See `Engine.generate`. Raises RunError if not even one row fits into GPU memory."""
        return self._sampler.generate(requests, sampling, ended)

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


def _load(config: Config, path: str) -> PreTrainedModel:
    """Load the model or adapter at `path`, with our attention.

    An adapter is not merged into the weights: bfloat16 would round its small changes away.
    """
    model = load_model(config, None if is_adapter(path) else path)
    model.set_attn_implementation(ATTENTION)
    return with_adapter(model, path) if is_adapter(path) else model


ENGINE = TransformersEngine
