"""What each stage depends on and leaves behind: the basis of fingerprints, resume and refusal."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Any

from learnalign.config import AdarftConfig, Config, SignalConfig, flatten, portable
from learnalign.names import VERIFIERS


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`keys` are config keys or sections whose change invalidates the results, `more` those that count under a condition.

    `outputs` are glob patterns. `revision` is raised when a new version of the code computes other results from the same
    settings: they must not mix.
    """

    after: str | None
    keys: tuple[str, ...]
    outputs: tuple[str, ...]
    revision: int = 1
    more: Callable[[Config], dict[str, Any]] = lambda config: {}


def _verdicts(config: Config) -> dict[str, Any]:
    """The version of the built-in verifiers' verdicts: it decides which golds are usable and every reward."""
    return {"verdicts of the built-in verifiers": 2} if config.verifier in VERIFIERS else {}


def _limits_of_programs(config: Config) -> dict[str, Any]:
    """The limits that decide whether a program passes."""
    limits = config.verifier_limits
    counted = {"seconds": limits.seconds, "total_seconds": limits.total_seconds, "memory": limits.memory}
    return {f"verifier_limits.{key}": value for key, value in counted.items()} if config.verifier == "code" else {}


def _angle_weight(config: Config) -> dict[str, Any]:
    """c of C = C_intra + c·C_inter, which orders GAIN-RL's prompts; left out at its default."""
    weight = config.signal.angle_weight
    counts = config.train.curriculum == "gain" and weight != SignalConfig().angle_weight
    return {"signal.angle_weight": weight} if counts else {}


def _reference_of_gradients(config: Config) -> dict[str, Any]:
    """π_ref of Eq. 7, if it is neither the policy nor the model before warmup."""
    if config.grad.beta == 0:
        return {}
    if not config.model.is_reference:
        return _reference(config)
    # Versions before `model.reference` took β for 0 here.
    adapted = config.model.adapter and not config.warmup.size
    return {"the reference": "the model without its adapter"} if adapted else {}


def _reference(config: Config) -> dict[str, Any]:
    keys = ("reference", "reference_revision")
    return {f"model.{key}": value for key in keys if (value := getattr(config.model, key)) is not None}


def _reference_of_warmup(config: Config) -> dict[str, Any]:
    return _reference(config) if config.warmup.size and not config.model.is_reference else {}


def _more_of_training(config: Config) -> dict[str, Any]:
    return _angle_weight(config) | _reference(config)


# Keys that change speed or safety but no result (engine, batch sizes, limits) are in no list: they may change.
STAGES: dict[str, Stage] = {
    "pool": Stage(
        after=None,
        keys=(
            "data",
            "verifier",
            *(f"model.{key}" for key in ("name", "revision", "adapter", "dtype", "attn", "trust_remote_code")),
            "executor.shard_size",
        ),
        more=_verdicts,
        outputs=("prompts.parquet", "quarantine.jsonl"),
    ),
    "warmup": Stage(
        after="pool", keys=("seed", "warmup"), more=_reference_of_warmup, outputs=("warmup", "work/warmup")
    ),
    # In a run directory of its own, DIR/train/NAME, whose pool is the subset.
    "train": Stage(
        after="pool",
        keys=("seed", "train"),
        more=_more_of_training,
        outputs=("policy", "policies", "rewards.parquet", "start", "work/train"),
    ),
    "rollout": Stage(
        after="warmup",
        keys=(
            "rollout.num_generations",
            "rollout.temperature",
            "rollout.top_p",
            "rollout.max_completion_length",
            "rollout.adaptive",
            # Of vLLM's arguments, those that decide what is sampled; the others are speed and memory.
            *(
                f"rollout.vllm.{key}"
                for key in ("dtype", "hf_overrides", "kv_cache_dtype", "max_model_len", "quantization")
            ),
        ),
        more=_limits_of_programs,
        outputs=("rollouts", "success.parquet"),
    ),
    "grad": Stage(
        after="rollout",
        keys=(
            "grad.rollouts",
            "grad.prompts",
            "grad.beta",
            "grad.projection",
            "grad.dim",
            "grad.width",
            "grad.modules",
            "grad.cascade",
        ),
        more=_reference_of_gradients,
        outputs=("gradients",),
        revision=2,
    ),
    "signal": Stage(after="rollout", keys=(), outputs=("signals",)),
    "select": Stage(after="grad", keys=(), outputs=("scores", "subset*.jsonl", "subset*.json")),
}


# What `grad` keeps beside the rollouts. It has a fingerprint of its own; without it no stage is unfinished: `grad` makes it
# again if it needs it.
REFERENCE = "reference"
REFERENCE_FILES = "rollouts/reference-*.safetensors"


# Keys that later versions added, with their first default: at it they are left out, so that older results stay valid.
ADDED: dict[str, Any] = {
    "data.reasoning_tags": [],
    "data.chat_template_kwargs": {},
    "train.algorithm": "grpo",
    **{f"train.adarft.{key}": value for key, value in AdarftConfig().model_dump().items()},
}


# Keys of the sections above that decide no result.
NO_RESULT = ("warmup.report_to", "train.report_to")


def settings_of(config: Config, stage: str, directory: Path | None = None) -> dict[str, Any]:
    """The flattened settings that `stage` itself depends on (not those of the stages before it).

    Null settings are left out: a key that a later version adds changes nothing until it is set. Paths inside the run
    `directory` are relative to it, so that it may be moved.
    """
    every = flatten(config.model_dump(mode="json"))
    if directory is not None:
        every = portable(every, directory)
    flat = {key: value for key, value in every.items() if value is not None and ADDED.get(key) != value}
    keys, revision = STAGES[stage].keys, STAGES[stage].revision
    own = {key: value for key, value in flat.items() if any(_is_in(key, k) for k in keys)}
    own = {key: value for key, value in own.items() if not any(_is_in(key, k) for k in NO_RESULT)}
    return own | STAGES[stage].more(config) | ({"revision of the method": revision} if revision > 1 else {})


def _is_in(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def chain(stage: str) -> list[str]:
    """`stage` and all stages before it, first one first."""
    before = STAGES[stage].after
    return [*(chain(before) if before else []), stage]


def downstream(stage: str) -> list[str]:
    """`stage` and every stage that builds on it."""
    return [name for name in STAGES if stage in chain(name)]


RECORDS = ("run.json", ".run.json", "config.yaml")


def outputs_of(root: Path, *stages: str) -> list[Path]:
    """What these stages (all, if none is named) have stored in a run directory: files, and directories of files."""
    patterns = [pattern for stage in stages or STAGES for pattern in STAGES[stage].outputs]
    return [path for pattern in dict.fromkeys(patterns) for path in sorted(root.glob(pattern))]


def files_in(root: Path) -> list[Path]:
    """All files in a run directory that records and stages consist of, but for half-written ones."""
    places = [*(root / name for name in RECORDS), *outputs_of(root)]
    every = [file for place in places for file in (place, *place.rglob("*")) if file.is_file()]
    return [file for file in dict.fromkeys(every) if not file.name.endswith(".tmp")]


def stage_of(path: str) -> str | None:
    """The stage that writes this path of a run directory, if one does; `REFERENCE` for what `grad` keeps beside the rollouts."""
    return next((name for name, outputs in _outputs().items() if outputs.match(path)), None)


@functools.cache
def _outputs() -> dict[str, re.Pattern[str]]:
    """What matches the paths that each stage writes: a run directory may have tens of thousands."""
    patterns = {name: [each for own in stage.outputs for each in (own, f"{own}/*")] for name, stage in STAGES.items()}
    patterns = {REFERENCE: [REFERENCE_FILES], **patterns}
    return {name: re.compile("|".join(map(translate, own))) for name, own in patterns.items()}


def command_of(path: str) -> str | None:
    """The command that makes this path of a run directory: a stage's name; the pool is made by the first that needs it."""
    stage = stage_of(path)
    return {"pool": "rollout", REFERENCE: "grad"}.get(stage or "", stage)


def fingerprint(config: Config, inputs: dict[str, str], stage: str, directory: Path | None = None) -> str:
    """A digest of the settings of `stage` and of all before it, and of the input files."""
    settings = {name: settings_of(config, name, directory) for name in chain(stage)}
    text = json.dumps([settings, inputs], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


METRICS = "metrics.jsonl"  # of a policy; holds times by the clock, and says nothing of the weights


def digest_of(path: Path) -> str:
    """A digest of a file or of a directory's files; of weights only size, beginning and end are read."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in files if file.name != METRICS or file == path]
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}".encode())
        with file.open("rb") as content:
            if path.is_dir() and file.stat().st_size > 1 << 24:
                digest.update(content.read(1 << 20))
                content.seek(-(1 << 20), 2)
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
