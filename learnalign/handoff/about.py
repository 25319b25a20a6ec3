"""subset.json beside every subset: what it was chosen by. The same bytes for the same run, so no times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learnalign.config import portable
from learnalign.errors import InputError, RunError
from learnalign.outputs import check_output
from learnalign.policy import model_digest, policy_path
from learnalign.rundir import Label, RunDir
from learnalign.rundir.files import write_json
from learnalign.rundir.machine import versions

MODEL = ("name", "revision", "adapter", "reference", "reference_revision", "dtype")
RATES = ("num_generations", "temperature", "top_p", "max_completion_length", "adaptive")
SECTIONS = ("data", "warmup", "grad", "signal")


def about_file(path: Path) -> Path:
    """Where the description of a subset file stands: subset.json beside subset.jsonl; beside x.json, x.subset.json."""
    return path.with_suffix(".subset.json" if path.suffix == ".json" else ".json")


def check_about(path: Path) -> None:
    """Refuse, before any work, an `-o` whose description would replace a file that is none."""
    place = about_file(path)
    check_output(place)
    if place.exists() and not _is_about(place):
        raise InputError(
            f"-o {path}: {place}, in which the subset's description would stand, is another file; give another name, or "
            "move it"
        )


def is_described(path: Path) -> bool:
    """Whether a file is the subset that the description beside it is of, and unchanged."""
    subset = _read_about(about_file(path)).get("subset", {})
    return (subset.get("file"), subset.get("sha256")) == (path.name, _sha256(path))


def _is_about(path: Path) -> bool:
    return bool(_read_about(path))


def _read_about(path: Path) -> dict[str, Any]:
    """A subset's description; empty if the file is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    ours = isinstance(content, dict) and {"subset", "method", "policy", "rates"} <= content.keys()
    return content if ours and isinstance(content["subset"], dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def about(run: RunDir, label: str, entry: Mapping[str, Any], file: Path, format: str) -> dict[str, Any]:
    """The description of a subset `file`: method and counts, model, policy, rates, seeds, digests, versions, settings.

    `entry` is what select records of the method `label`.
    """
    config, stages = portable(run.config.model_dump(mode="json"), run.path), run.read_record()["stages"]
    pool = stages.get("pool", {}).get("counts", {})
    rollout = stages.get("rollout", {})
    options = entry.get("options", {})
    return {
        "subset": {
            "file": file.name,
            "format": format,
            "prompts": entry["chosen"],
            "sha256": _sha256(file),
        },
        "method": {
            "name": label,
            "size": entry["size"],
            "scoring": entry["way"],
            "fill": bool(options.get("fill")),
            "diversity": options.get("diversity"),
            "eligible": entry["eligible"],
            "skipped": entry["skipped"],
        },
        "pool": {name: pool[name] for name in ("rows", "prompts", "left_out") if name in pool},
        "model": {key: config["model"][key] for key in MODEL},
        "policy": _policy(run),
        "rates": {
            "verifier": config["verifier"],
            **{key: config["rollout"][key] for key in RATES},
            "engine": rollout.get("engine"),
            **{name: rollout["counts"][name] for name in ("samples", "unscored") if name in rollout.get("counts", {})},
        },
        "signals": {name: made.get("policy") for name, made in stages.get("signal", {}).get("signals", {}).items()},
        "seeds": {"seed": config["seed"], "warmup": config["warmup"]["seed"], "select": Label.parse(label).seed},
        "inputs": run.read_record()["inputs"],
        "versions": versions(),
        "settings": {section: config[section] for section in SECTIONS},
    }


def _policy(run: RunDir) -> dict[str, Any] | None:
    """Which model's rollouts and gradients were taken, with its digest; None if there is no policy yet."""
    try:
        path = policy_path(run)
    except RunError:
        return None
    name = "warmup" if run.config.warmup.size else "adapter" if run.config.model.adapter else "base"
    return {"name": name, "digest": model_digest(path)}


def write_about(run: RunDir, label: str, entry: Mapping[str, Any], file: Path, format: str) -> Path:
    """Write the description of a subset `file` beside it; returns its path."""
    place = about_file(file)
    write_json(place, about(run, label, entry, file, format))
    return place
