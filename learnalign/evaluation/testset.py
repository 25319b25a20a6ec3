"""Test sets and policies: what `--data` and `eval.policy` may name, and the run directory that an evaluation gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from learnalign.config import Config, apply_overrides, build_config
from learnalign.errors import InputError, one_line
from learnalign.policy import model_settings
from learnalign.rundir import RunDir

SECTIONS = ("data", "verifier", "eval")
INHERITED = ("system_prompt", "max_prompt_tokens")  # of the pool's `data` section, where the test set does not say


def test_sets() -> dict[str, Path]:
    """The ready test sets by name."""
    import learnalign_configs

    return {file.stem: file for file in sorted((Path(learnalign_configs.__file__).parent / "eval").glob("*.yaml"))}


test_sets.__test__ = False  # type: ignore[attr-defined]  # no test, whatever pytest thinks of its name


def settings_of(config: Config, data: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of an evaluation on `data`, a YAML file, the name of a ready test set, or anything `data.path` may
    be.

    A test set in YAML has a `data` section and, where they differ from the run's, `verifier` and `eval`; the pool's
    system prompt holds for it too. Other data is read as the pool is, with its columns. Raises InputError where `data`
    is nothing of the kind.
    """
    file = test_sets().get(data) or Path(data).expanduser()
    settings = config.model_dump(mode="json")
    if file.suffix in (".yaml", ".yml"):
        test = _read(file)
        inherited = {key: settings["data"][key] for key in INHERITED}
        settings["data"] = {**inherited, **test["data"]}
        settings["verifier"] = test.get("verifier", settings["verifier"])
        settings["eval"] |= test.get("eval", {})
    else:
        settings["data"] |= {"path": str(file.resolve()) if file.exists() else data, "limit": None}
    return apply_overrides(settings, overrides)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"--data {file}: no such file; ready test sets are {', '.join(test_sets())}")
    try:
        test = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a YAML file: {one_line(error)}") from None
    if not isinstance(test, dict) or "path" not in (test.get("data") or {}):
        raise InputError(f"{file}: a test set needs a `data` section with a path")
    if unknown := test.keys() - set(SECTIONS):
        raise InputError(f"{file}: a test set has {', '.join(SECTIONS)}, not {', '.join(sorted(unknown))}")
    return test


def evaluation_config(run: RunDir, data: str, policy: str | None, overrides: Sequence[str]) -> Config:
    """Settings of the run directory DIR/eval/NAME: its pool is the test set, its base model the policy, unwarmed."""
    settings = settings_of(run.config, data, overrides)
    if policy:
        settings["eval"]["policy"] = policy
    settings["model"] |= model_settings(run, str(settings["eval"]["policy"]))
    settings["warmup"] = {"size": 0}
    own = build_config(settings, source=f"eval on {data}").eval
    limit = own.max_completion_length or run.config.rollout.max_completion_length
    temperature = own.temperature
    if temperature is None:
        temperature = 0.0 if own.num_generations == 1 else run.config.rollout.temperature
    wanted = int(own.metric.partition("@")[2])
    if wanted > own.num_generations:
        raise InputError(
            f"eval.metric: {own.metric} needs {wanted} completions a question, eval.num_generations is "
            f"{own.num_generations}"
        )
    settings["rollout"] |= {
        "num_generations": own.num_generations,
        "temperature": temperature,
        "top_p": own.top_p,
        "max_completion_length": limit,
        "adaptive": False,
    }
    return build_config(settings, source=f"eval on {data}")


def default_name(data: str, policy: str) -> str:
    """TESTSET-POLICY, in characters a file name can have."""
    label = Path(policy).name if "/" in policy and not policy.startswith("train/") else policy
    return re.sub(r"[^\w.-]+", "-", f"{Path(data.rstrip('/')).stem}-{label}")
