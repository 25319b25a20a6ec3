"""Whose code runs: settings of a run directory that name code count only if this user named them or trusted the directory.

What a user trusts is kept outside of run directories, a file for each in $XDG_STATE_HOME/learnalign/trusted (by default
~/.local/state/…), so that no directory can vouch for itself. Making a run with a config of one's own trusts it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from learnalign.config import Config, final_path
from learnalign.errors import InputError, RunError
from learnalign.names import VERIFIERS
from learnalign.rundir.files import read_json, write_json

# Arguments of vLLM's engine that are words and name no code; of the others only numbers are taken as they are.
_WORDS = ("dtype", "kv_cache_dtype", "quantization")


def code_settings(config: Config) -> dict[str, str]:
    """The settings that have other code than this program's run, or send data to a service, by key; the value names which."""
    model, sandbox = config.model, config.verifier_sandbox
    named = {} if config.verifier in VERIFIERS else {"verifier": config.verifier}
    if config.verifier == "code" and sandbox and "://" in sandbox:
        named["verifier_sandbox"] = f"completions and tests go to {sandbox}"
    if model.trust_remote_code:
        revised = [f"{name}@{revision}" if revision else name for name, revision in _models(config)]
        named["model.trust_remote_code"] = f"that of {', '.join(revised)}"
    if "/" in model.attn:  # a kernel from the hub
        named["model.attn"] = model.attn
    for key, value in config.rollout.vllm.items():
        if (key == "trust_remote_code" and value) or not (key in _WORDS or isinstance(value, int | float | None)):
            named[f"rollout.vllm.{key}"] = json.dumps(value)
    return named


def _models(config: Config) -> list[tuple[str, str | None]]:
    model = config.model
    reference = [(model.reference, model.reference_revision)] if model.reference else []
    return [(model.name, model.revision), *reference]


def remember_trust(path: Path, config: Config, keys: Iterable[str] | None = None) -> None:
    """Trust `path` with the code that `config` names, now and later; with `keys`, only that of these settings or sections."""
    code = {key: value for key, value in code_settings(config).items() if _is_named(key, keys)}
    known = _trusted(path)
    if any(known.get(key) != value for key, value in code.items()):
        write_json(_file(path), {"directory": str(final_path(path)), "code": {**known, **code}})


def check_trust(path: Path, config: Config, keys: Iterable[str] | None = ()) -> None:
    """Raise InputError if `config`, that of the run directory `path`, names code that this user has not trusted.

    Settings or sections of `keys` (None: all) are the user's own.
    """
    code = {key: value for key, value in code_settings(config).items() if not _is_named(key, keys)}
    known = _trusted(path) if code else {}
    if strange := {key: value for key, value in code.items() if known.get(key) != value}:
        listed = ", ".join(f"{key} ({value})" for key, value in strange.items())
        raise InputError(
            f"{path}: its config.yaml would run code or use a service of its maker's choice: {listed}; look at it, then pass --trust once "
            "(in Python: RunDir.open(path, trust=True)), or choose yourself with --set or --config"
        )


def _is_named(key: str, keys: Iterable[str] | None) -> bool:
    return keys is None or any(f"{key}.".startswith(f"{each}.") for each in keys)


def check_inside(directory: Path, path: Path) -> None:
    """Raise InputError if `path`, in which files are deleted, is led out of the run directory by a symbolic link."""
    if not path.resolve().is_relative_to(directory.resolve()):
        raise InputError(f"{path} is a symbolic link out of the run directory, to {path.resolve()}; remove the link")


def _trusted(path: Path) -> dict[str, Any]:
    try:
        stored = read_json(_file(path))
        return dict(stored["code"]) if stored["directory"] == str(final_path(path)) else {}
    except (RunError, OSError, KeyError, TypeError):
        return {}  # never trusted, or damaged: `remember_trust` writes it anew


def _file(path: Path) -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    name = hashlib.sha256(os.fsencode(final_path(path))).hexdigest()[:32]
    return home / "learnalign" / "trusted" / f"{name}.json"
