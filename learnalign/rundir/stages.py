"""What each stage depends on and leaves behind: the basis of fingerprints, resume and refusal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnalign.config import AdarftConfig, Config, SignalConfig, flatten


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`keys` are config keys or sections whose change invalidates the results, `more` those that count under a condition
    (`apart` from the keys, if they belong to one of the sections).

    `outputs` are glob patterns. `revision` is raised when a new version of the code computes other results from the same
    settings: they must not mix.
    """

    after: str | None
    keys: tuple[str, ...]
    outputs: tuple[str, ...]
    revision: int = 1
    more: Callable[[Config], dict[str, Any]] = lambda config: {}
    apart: tuple[str, ...] = ()


def _curriculum(config: Config) -> dict[str, Any]:
    """Settings of the curriculum in use that other sections or later versions have; left out at their defaults.

    For GAIN-RL, c of C = C_intra + c·C_inter, which orders its prompts.
    """
    if config.train.curriculum == "gain" and config.signal.angle_weight != SignalConfig().angle_weight:
        return {"signal.angle_weight": config.signal.angle_weight}
    if config.train.curriculum == "adarft":
        own, default = config.train.adarft.model_dump(), AdarftConfig().model_dump()
        return {f"train.adarft.{key}": value for key, value in own.items() if value != default[key]}
    return {}


# Keys that change speed or safety but no result (engine, batch sizes, limits) are in no list: they may change.
STAGES: dict[str, Stage] = {
    "pool": Stage(
        after=None,
        keys=("data", "verifier", "model", "executor.shard_size"),
        outputs=("prompts.parquet", "quarantine.jsonl"),
    ),
    "warmup": Stage(after="pool", keys=("seed", "warmup"), outputs=("warmup", "work/warmup")),
    # In a run directory of its own, DIR/train/NAME, whose pool is the subset.
    "train": Stage(
        after="pool",
        keys=("seed", "train"),
        more=_curriculum,
        apart=("train.adarft",),
        outputs=("policy", "rewards.parquet", "start", "work/train"),
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
        ),
        outputs=("gradients",),
        revision=2,
    ),
    "signal": Stage(after="rollout", keys=(), outputs=("signals",)),
    "select": Stage(after="grad", keys=(), outputs=("scores", "subset*.jsonl")),
}


def settings_of(config: Config, stage: str) -> dict[str, Any]:
    """The flattened settings that `stage` itself depends on (not those of the stages before it).

    Null settings are left out: a key that a later version adds changes nothing until it is set.
    """
    flat = {key: value for key, value in flatten(config.model_dump(mode="json")).items() if value is not None}
    keys, apart, revision = STAGES[stage].keys, STAGES[stage].apart, STAGES[stage].revision
    own = {key: value for key, value in flat.items() if _within(key, keys) and not _within(key, apart)}
    return own | STAGES[stage].more(config) | ({"revision of the method": revision} if revision > 1 else {})


def _within(key: str, sections: tuple[str, ...]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def chain(stage: str) -> list[str]:
    """`stage` and all stages before it, first one first."""
    before = STAGES[stage].after
    return [*(chain(before) if before else []), stage]


def downstream(stage: str) -> list[str]:
    """`stage` and every stage that builds on it."""
    return [name for name in STAGES if stage in chain(name)]


def fingerprint(config: Config, inputs: dict[str, str], stage: str) -> str:
    """A digest of the settings of `stage` and of all before it, and of the input files."""
    settings = {name: settings_of(config, name) for name in chain(stage)}
    text = json.dumps([settings, inputs], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of(path: Path) -> str:
    """A digest of a file or of a directory's files; of weights only size, beginning and end are read."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}".encode())
        with file.open("rb") as content:
            if path.is_dir() and file.stat().st_size > 1 << 24:
                digest.update(content.read(1 << 20))
                content.seek(-(1 << 20), 2)
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
