"""Which model results are of: its name, and a digest of its files that tells whether two names mean the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.policy.loading import model_path, model_settings, policy_path
from learnalign.rundir.stages import digest_of

if TYPE_CHECKING:
    from learnalign.rundir import RunDir


@dataclass(frozen=True)
class NamedModel:
    """A model: policy, base, train/NAME or a directory, and the digest of its files (of a hub model, its name)."""

    name: str
    digest: str


def identify(run: RunDir, name: str, key: str) -> NamedModel:
    """The model that `name` means in `run` now; errors name the config `key`.

    Raises InputError or RunError if there is no such model.
    """
    if name == "policy":
        return NamedModel(name, model_digest(policy_path(run)))
    settings = model_settings(run, name, key)
    return NamedModel(name, model_digest(settings.get("adapter") or settings.get("name") or model_path(run.config)))


def model_digest(path: str) -> str:
    """A digest of the files of a model or adapter; a hub name is its own."""
    return digest_of(Path(path)) if Path(path).is_dir() else path


def other_than_policy(run: RunDir, model: NamedModel | None) -> str | None:
    """The digest of a model that is not the run's policy; None if it is (as None, an unnamed model, is)."""
    if model is None or model.name == "policy":
        return None
    exists = run.config.warmup.size == 0 or run.is_finished("warmup")
    same = exists and identify(run, "policy", "").digest == model.digest
    return None if same else model.digest
