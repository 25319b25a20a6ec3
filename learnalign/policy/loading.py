"""The policy θ_s, the reference π_ref and their tokenizer."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign import demo
from learnalign.config import Config
from learnalign.errors import InputError, RunError, counted
from learnalign.policy.files import (
    adapter_base,
    check_directory,
    is_adapter,
    read_model,
    reading,
    with_adapter,
)
from learnalign.policy.precision import faster_on_cpu
from learnalign.policy.template import fix_template
from learnalign.policy.trained import plain_name, trained_path
from learnalign.rundir.files import check_whole, damaged, missing

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from learnalign.rundir import RunDir


def model_path(config: Config) -> str:
    """Directory or hub name of the base model."""
    return _path(config.model.name)


def reference_path(config: Config) -> str:
    """Directory or hub name of the reference π_ref: `model.reference`, or else the base model."""
    return _path(config.model.reference or config.model.name)


def is_own_reference(config: Config) -> bool:
    """Whether the policy is π_ref itself, the same weights: then π_ref/π_θ − 1 = 0, and β changes nothing in Eq. 7."""
    return config.warmup.size == 0 and config.model.adapter is None and config.model.is_reference


def needs_reference(config: Config) -> bool:
    """Whether gradients need log π_ref: β counts, as the policy is not the reference itself."""
    return config.grad.beta > 0 and not is_own_reference(config)


def _path(name: str) -> str:
    return str(demo.MODEL) if name == "demo" else os.path.expanduser(name)


def policy_path(run: RunDir) -> str:
    """Directory or hub name of the policy: the warmed-up model or adapter.

    With `warmup.size: 0` it is `model.adapter`, or else the base model.
    """
    if run.config.warmup.size == 0:
        return os.path.expanduser(run.config.model.adapter or model_path(run.config))
    if not run.is_finished("warmup"):
        for file, what in run.missing("warmup").items():
            raise missing(run.path / file) if what == "missing" else damaged(run.path / file)
        raise RunError(
            f"{run.path} has no policy yet: run `learnalign warmup {run.quoted}` first, or use the base model with "
            "--set warmup.size=0"
        )
    check_whole(run.warmup_dir)
    return str(run.warmup_dir)


def model_settings(run: RunDir, policy: str, key: str = "eval.policy") -> dict[str, Any]:
    """The `model` keys that load a policy: `policy`, `base`, `train/NAME`, `train/NAME@STEP`, or the directory of a model
    or adapter. Errors name the config `key`.
    """
    policy = plain_name(run, policy, key)
    if policy == "base":
        return {"adapter": None}
    path = policy_path(run) if policy == "policy" else policy
    if policy.startswith("train/"):
        path = str(trained_path(run, policy, key))
    if path == model_path(run.config):
        return {"adapter": None}
    directory = Path(path).expanduser()
    if not directory.is_dir():
        raise InputError(f"{key} {policy}: no such directory; give policy, base, train/NAME or a model directory")
    path = str(directory.resolve())
    if is_adapter(path):
        base = adapter_base(directory)
        return {"adapter": path} | ({} if base == model_path(run.config) else {"name": base, "revision": None})
    return {"name": path, "revision": None, "adapter": None}


def run_tokenizer(run: RunDir) -> PreTrainedTokenizerBase:
    """The base model's tokenizer, whose chat template takes the time when the run was made for the present one."""
    return load_tokenizer(run.config, run.template_time)


def load_tokenizer(config: Config, time: datetime | None = None) -> PreTrainedTokenizerBase:
    """The base model's tokenizer; raises InputError if it is missing or has no chat template.

    Its template has the settings of `data.chat_template_kwargs`, and `time` for the present one. To render prompts of a run,
    take `run_tokenizer`.
    """
    path = model_path(config)
    tokenizer = _read_tokenizer(config, "model.name", path, config.model.revision)
    if not tokenizer.chat_template:
        raise InputError(
            f"model.name {path}: its tokenizer has no chat template; use an instruct model, or put a "
            "chat_template.jinja beside its tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    fix_template(tokenizer, f"model.name {path}", config.data.chat_template_kwargs, time or datetime.now(UTC))
    return tokenizer


def _read_tokenizer(config: Config, key: str, path: str, revision: str | None) -> PreTrainedTokenizerBase:
    check_directory(path, key)
    from transformers import AutoTokenizer

    with reading(f"{key} {path}", "a tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            path, revision=revision, trust_remote_code=config.model.trust_remote_code
        )
    if not len(tokenizer):
        raise InputError(f"{key} {path}: its tokenizer is empty; copy tokenizer.json and tokenizer_config.json into it")
    return tokenizer


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    """The rendered prompt: the chat template, with the generation prompt at the end."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of the rendered prompt."""
    # Not verbose: whether it is too long for the model, `prompts` says.
    return tokenizer(prompt_text(tokenizer, messages), add_special_tokens=False, verbose=False)["input_ids"]


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, as it is; a fast tokenizer takes several cores for them."""
    return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []


def load_policy(run: RunDir, spread: bool = False) -> PreTrainedModel:
    """The policy θ_s in evaluation mode on `device()`; a PEFT model if warmup trained an adapter.

    With `spread`, on the devices that `model.device_map` says.
    """
    path, config = policy_path(run), settled(run)
    return (
        with_adapter(load_model(config, None, spread), path) if is_adapter(path) else load_model(config, path, spread)
    )


def load_named(run: RunDir, name: str, key: str) -> PreTrainedModel:
    """The model that `name` means (`policy`, `base`, `train/NAME` or a directory), as `load_policy` loads it.

    Raises InputError naming the config `key` if its tokens are not those of the run's tokenizer.
    """
    if name == "policy":
        return load_policy(run)
    model = settled(run).model.model_copy(update=model_settings(run, name, key))
    config = settled(run).model_copy(update={"model": model})
    foreign = model_path(config) != model_path(run.config)
    if foreign and load_tokenizer(config).get_vocab() != load_tokenizer(run.config).get_vocab():
        raise InputError(
            f"{key} {name}: its tokenizer is not that of {model_path(run.config)}, which prompts and rollouts of this "
            "run are in; give a model trained from it, or make a run directory with this one as model.name"
        )
    return with_adapter(load_model(config), model.adapter) if model.adapter else load_model(config)


def load_model(config: Config, path: str | None = None, spread: bool = False) -> PreTrainedModel:
    """The base model (or the whole model at `path`), frozen, in evaluation mode on `device()`; `spread` as for `load_policy`."""
    return _load(config, "model.name", path or model_path(config), config.model.revision, spread)


def model_config(config: Config, path: str | None = None) -> PretrainedConfig:
    """What the config.json of the base model (or of the model at `path`) says."""
    from transformers import AutoConfig

    path, model = path or model_path(config), config.model
    check_directory(path)
    with reading(f"model.name {path}", "config.json"):
        return AutoConfig.from_pretrained(path, revision=model.revision, trust_remote_code=model.trust_remote_code)


def settled(run: RunDir) -> Config:
    """The run's settings with the precision that `model.dtype: auto` means in it: on a CPU the one that its first stage took,
    kept in run.json, so that a run resumed on another CPU goes on with it; on a GPU the checkpoint's own.
    """
    config, record = run.config, run.read_record()
    if config.model.dtype != "auto" or device().type == "cuda":
        return config
    own = _own_dtype(config, model_path(config), config.model.revision)
    kept = record.get("dtype")
    if kept is None:
        # The pool's stage stores it; a run without it was begun on a GPU, or by a version that took the checkpoint's.
        kept = own if record["stages"].keys() - {"pool"} else faster_on_cpu(own)
        run.record_dtype(kept)
        if kept != own:
            print(f"model.dtype: auto takes {kept}, as this CPU only emulates {own}", file=sys.stderr, flush=True)
    return config.model_copy(update={"model": config.model.model_copy(update={"dtype": kept})})


def precision(config: Config, path: str, revision: str | None = None) -> str:
    """The precision that the model at `path` is loaded in here: `model.dtype`, or what `auto` means on this machine."""
    if config.model.dtype != "auto":
        return config.model.dtype
    own = _own_dtype(config, path, revision)
    return own if device().type == "cuda" else faster_on_cpu(own)


def _own_dtype(config: Config, path: str, revision: str | None) -> str:
    """The precision of a checkpoint, float32 if its config.json names none."""
    there = config.model_copy(update={"model": config.model.model_copy(update={"revision": revision})})
    settings = model_config(there, path)
    return str(settings.get_text_config().dtype or settings.dtype or "float32").removeprefix("torch.")


def model_without_weights(config: Config) -> PreTrainedModel:
    """The base model's modules, made in a second from its config.json alone, on torch's meta device."""
    import torch
    from transformers import AutoModelForCausalLM

    settings = model_config(config)
    with reading(f"model.name {model_path(config)}", "a causal language model"), torch.device("meta"):
        return AutoModelForCausalLM.from_config(settings, trust_remote_code=config.model.trust_remote_code)


def check_models(config: Config) -> None:
    """Raise InputError if the files of the model, its adapter or the reference are damaged or do not belong together.

    Reads no weights. Of a model of the hub, looks at config.json alone: its files may have yet to be downloaded.
    """
    model, path = config.model, model_path(config)
    base = _without_weights("model.name", path, config) if Path(path).is_dir() else model_without_weights(config)
    if model.adapter is not None:
        adapter = os.path.expanduser(model.adapter)
        if not is_adapter(adapter):
            raise InputError(
                f"model.adapter {adapter}: no adapter_config.json there; give the directory of a PEFT adapter"
            )
        with_adapter(base, adapter)
    check_reference(config)
    if not model.is_reference:
        check_weights(config, "model.reference", reference_path(config))


def check_weights(config: Config, key: str, path: str) -> None:
    """Raise InputError naming the config `key` if the model in the directory `path` is damaged; reads no weights."""
    if Path(path).is_dir():
        _without_weights(key, path, config)


def _without_weights(key: str, path: str, config: Config) -> PreTrainedModel:
    check_directory(path, key)
    options = {"device_map": "meta", "trust_remote_code": config.model.trust_remote_code}
    return read_model(f"{key} {path}", path, attn_implementation=config.model.attn, **options)


def load_reference(config: Config, spread: bool = False) -> PreTrainedModel:
    """The reference π_ref, frozen, in evaluation mode on `device()`; raises InputError if the policy's tokens are not its.

    `spread` as for `load_policy`.
    """
    check_reference(config)
    if config.model.is_reference:
        return load_model(config, None, spread)
    return _load(config, "model.reference", reference_path(config), config.model.reference_revision, spread)


def check_reference(config: Config) -> None:
    """Raise InputError unless `model.reference` is a whole model with the vocabulary of the base model."""
    if config.model.is_reference:
        return
    path = reference_path(config)
    if is_adapter(path):
        raise InputError(
            f"model.reference {path}: this is a PEFT adapter, and the reference has to be a whole model: merge the adapter "
            "into its base model, save that, and give its directory"
        )
    reference = _read_tokenizer(config, "model.reference", path, config.model.reference_revision)
    if reference.get_vocab() != load_tokenizer(config).get_vocab():
        raise InputError(
            f"model.reference {path}: its tokenizer has another vocabulary than that of model.name {model_path(config)}, and β "
            "compares their probabilities token by token; give a model of the same family"
        )


def _load(config: Config, key: str, path: str, revision: str | None, spread: bool) -> PreTrainedModel:
    check_directory(path, key)
    options: dict[str, Any] = {
        "dtype": config.model.dtype if device().type == "cuda" else precision(config, path, revision),
        "attn_implementation": config.model.attn,
        "device_map": (spread and config.model.device_map) or device(),
    }
    options |= {"revision": revision, "trust_remote_code": config.model.trust_remote_code}
    model = read_model(f"{key} {path}", path, **options)
    check_spread(getattr(model, "hf_device_map", {}), f"{key} {path}")
    return model.eval().requires_grad_(False)


def check_spread(device_map: Mapping[str, object], what: str) -> None:
    """Raise InputError if a part of the model on GPUs is in the CPU's memory or on the disk, where its gradients are not taken."""
    places = {str(place) for place in device_map.values()}
    elsewhere = [name for name, place in device_map.items() if str(place) in ("cpu", "disk")]
    if elsewhere and places - {"cpu"}:
        raise InputError(
            f"{what}: model.device_map: auto leaves {counted(len(elsewhere), 'part')} of it outside the GPUs (first {elsewhere[0]}); "
            "give more GPUs, a smaller model.dtype, or another process less of their memory"
        )


def device() -> torch.device:
    """The GPU of this process, or the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
