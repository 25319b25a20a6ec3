"""The contract of an engine: requests and a sampling go in, completions come out. Knows no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from learnalign.errors import InputError, RunError, counted
from learnalign.policy import is_adapter, load_tokenizer, model_config, model_path, reading
from learnalign.progress import Advance, unseen

if TYPE_CHECKING:
    from learnalign.config import Config

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and one seed for each completion wanted; `id` names it in the answer."""

    id: str
    prompt_ids: Sequence[int]
    seeds: Sequence[int]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn.

    Args:
        max_completion_length: longest completion, tokens; an engine's `context_length` bounds prompt and completion.
        temperature: divides the logits; 0 takes the most probable token.
        top_p: samples from the smallest set of tokens whose probabilities reach this sum, in (0, 1].
    """

    max_completion_length: int
    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Completion:
    """Sampled token ids, with the closing EOS if `finish_reason` is stop."""

    completion_ids: list[int]
    finish_reason: FinishReason


class NotFinite(RunError):
    """The policy's logits are NaN or infinite."""


class Engine(Protocol):
    """Samples completions. A seed gives the same tokens in every batch, up to rounding of the logits; with the vllm engine only if
    `rollout.vllm_seeds` is per-sample."""

    @property
    def name(self) -> str:
        """`transformers` or `vllm`."""

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and completion together; a prompt must be shorter."""

    @property
    def wanted(self) -> int:
        """So many completions should be asked for and not yet ended at any time, by several threads, to keep the engine full.

        0: it takes one call of `generate` after another.
        """

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, ended: Advance = unseen
    ) -> dict[str, list[Completion]]:
        """Completions of every request by its id, in the order of its seeds.

        Args:
            requests: of different ids; every prompt is shorter than `context_length`.
            sampling: length limit and distribution of the completions.
            ended: called with the number of further completions whenever some end.
        """


def check_lengths(requests: Sequence[Request], context_length: int) -> None:
    """Raise InputError for a prompt that is empty or leaves the engine no room to answer."""
    for request in requests:
        if not 0 < len(request.prompt_ids) < context_length:
            raise InputError(
                f"prompt {request.id} has {counted(len(request.prompt_ids), 'token')}, the engine takes 1 to "
                f"{context_length - 1}; leave it out or lower data.max_prompt_tokens"
            )


def stop_ids(config: Config, path: str) -> frozenset[int]:
    """Token ids that end a completion: the EOS of the tokenizer, and all those in the model's files."""
    from transformers import GenerationConfig

    base = model_path(config) if is_adapter(path) else path
    named = [load_tokenizer(config).eos_token_id, model_config(config, base).get_text_config().eos_token_id]
    if not Path(base).is_dir() or (Path(base) / "generation_config.json").is_file():
        with reading(f"model.name {base}", "generation_config.json"):
            named.append(GenerationConfig.from_pretrained(base, revision=config.model.revision or "main").eos_token_id)
    ids = [id for each in named for id in (each if isinstance(each, list) else [each]) if id is not None]
    if not ids:
        raise InputError(
            f"model.name {base}: neither model nor tokenizer names an EOS token; set eos_token_id in its config.json"
        )
    return frozenset(ids)
