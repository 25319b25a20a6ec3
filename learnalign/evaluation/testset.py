"""Test sets: what `--data` may name, and the settings of the run directory that an evaluation gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from learnalign.config import Config, apply_overrides, build_config
from learnalign.errors import InputError, one_line
from learnalign.policy import model_settings
from learnalign.prompts import elsewhere
from learnalign.rundir import RunDir, default_file_name

SECTIONS = ("data", "verifier", "eval")
# From the pool's `data` section, if the test set does not set them.
INHERITED = ("system_prompt", "few_shot", "max_prompt_tokens")


def test_sets() -> dict[str, Path]:
    """The ready test sets by name."""
    import learnalign_configs

    return {file.stem: file for file in sorted((Path(learnalign_configs.__file__).parent / "eval").glob("*.yaml"))}


test_sets.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def settings_of(config: Config, data: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of an evaluation on `data`, a YAML file, the name of a ready test set, or anything `data.path` may
    be.

    A test set in YAML has a `data` section and, if they differ from the run's, `verifier` and `eval`; it inherits the
    pool's system prompt and worked examples. Other data is read with the pool's columns. Raises InputError for any other `data`.
    """
    file = test_sets().get(data) or Path(data).expanduser()
    settings = config.model_dump(mode="json")
    pool = elsewhere(config.data, file.resolve() if file.exists() else data).model_dump(mode="json")
    if file.suffix in (".yaml", ".yml"):
        test = _read(file)
        inherited = {key: pool[key] for key in INHERITED}
        settings["data"] = {**inherited, **test["data"]}
        settings["verifier"] = test.get("verifier", settings["verifier"])
        settings["eval"] |= test.get("eval", {})
    else:
        settings["data"] = pool
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
    """Settings of the run directory DIR/eval/NAME: its pool is the test set, its base model the policy, without warmup."""
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
    """TESTSET-POLICY."""
    label = Path(policy).name if "/" in policy and not policy.startswith("train/") else policy
    return default_file_name(data, label)
