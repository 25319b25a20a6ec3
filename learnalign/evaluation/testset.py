"""Test sets: what `--data` may name, and the settings of the run directory that an evaluation gets."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from learnalign.config import Config, EvalConfig, apply_overrides, build_config, read_yaml
from learnalign.errors import InputError, counted, listed_briefly, short
from learnalign.evaluation.metrics import GREEDY, k_of
from learnalign.inputs import local_path
from learnalign.policy import model_settings, plain_name
from learnalign.prompts import elsewhere
from learnalign.rundir import RunDir, default_file_name
from learnalign.sources import read_rows

SECTIONS = ("data", "verifier", "verifier_sandbox", "verifier_limits", "eval")
# From the pool's `data` section, if the test set does not set them.
INHERITED = ("system_prompt", "few_shot", "max_prompt_tokens", "chat_template_kwargs", "reasoning_tags")


def test_sets() -> dict[str, Path]:
    """The ready test sets by name."""
    import learnalign_configs

    return {file.stem: file for file in sorted((Path(learnalign_configs.__file__).parent / "eval").glob("*.yaml"))}


test_sets.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def settings_of(config: Config, data: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of an evaluation on `data`, a YAML file, the name of a ready test set, or anything `data.path` may
    be.

    A test set in YAML has a `data` section and, if they differ from the run's, `verifier`, its limits and `eval`; it inherits
    the pool's system prompt, worked examples, settings of the chat template and reasoning tags, and its sandbox is the run's
    if that has one. Other data is read with the pool's columns. Raises InputError for any other `data`.
    """
    file = test_sets().get(data) or local_path(data, "--data")
    if not file.exists() and (meant := get_close_matches(data.lower(), test_sets(), 1)):
        raise InputError(
            f"--data {data}: no such file or ready test set; did you mean {meant[0]}? Ready test sets are {', '.join(test_sets())}"
        )
    settings = config.model_dump(mode="json")
    pool = elsewhere(config.data, file.resolve() if file.exists() else data).model_dump(mode="json")
    if file.suffix in (".yaml", ".yml"):
        test = _read(file)
        inherited = {key: pool[key] for key in INHERITED}
        settings["data"] = {**inherited, **test["data"]}
        settings["verifier"] = test.get("verifier", settings["verifier"])
        settings["verifier_sandbox"] = settings["verifier_sandbox"] or test.get("verifier_sandbox")
        settings["verifier_limits"] |= test.get("verifier_limits") or {}
        settings["eval"] |= {"questions": None, **(test.get("eval") or {})}
    else:
        settings["data"] = pool
    return apply_overrides(settings, overrides)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"--data {file}: no such file; ready test sets are {', '.join(test_sets())}")
    test = read_yaml(file, "--data")
    section = test.get("data") if isinstance(test, dict) else None
    if not isinstance(section, dict) or "path" not in section:
        raise InputError(f"{file}: a test set needs a `data` section with a path")
    for name in ("eval", "verifier_limits"):
        if not isinstance(test.get(name) or {}, dict):
            raise InputError(f"{file}: {name}: got {short(test[name])}, but this is a section: give its keys")
    if unknown := test.keys() - set(SECTIONS):
        raise InputError(f"{file}: a test set has {', '.join(SECTIONS)}, not {listed_briefly(sorted(unknown))}")
    return test


def evaluation_config(run: RunDir, data: str, policy: str | None, overrides: Sequence[str]) -> Config:
    """Settings of the run directory DIR/eval/NAME: its pool is the test set, its base model the policy, without warmup."""
    settings = settings_of(run.config, data, overrides)
    build_config(settings, source=f"eval on {data}")  # every section is one, before it is looked into
    settings["eval"]["policy"] = plain_name(run, policy or str(settings["eval"]["policy"]))
    settings["model"] |= model_settings(run, settings["eval"]["policy"])
    settings["warmup"] = {"size": 0}
    if settings["eval"].get("seed") is not None:
        settings["seed"] = settings["eval"]["seed"]
    own = build_config(settings, source=f"eval on {data}").eval
    limit = own.max_completion_length or run.config.rollout.max_completion_length
    settings["eval"]["metric"], temperature = _metric_and_temperature(own, run.config.rollout.temperature)
    if own.rounds > 1 and temperature == 0:
        raise InputError(
            f"eval.rounds: {own.rounds} rounds of greedy decoding are all the same; sample "
            "(--set eval.temperature=0.8 --set eval.top_p=0.95 are the paper's values), or evaluate one round"
        )
    settings["rollout"] |= {
        "num_generations": own.num_generations,
        "temperature": temperature,
        "top_p": own.top_p,
        "max_completion_length": limit,
        "adaptive": False,
    }
    return build_config(settings, source=f"eval on {data}")


def _metric_and_temperature(own: EvalConfig, sampled: float) -> tuple[str, float]:
    """The headline and the temperature, where `sampled` is that of rollouts: greedy names temperature 0 and nothing else."""
    metric, temperature = own.metric, own.temperature
    if temperature is None:
        greedy = metric == GREEDY or (metric is None and own.num_generations == 1)
        temperature = 0.0 if greedy else sampled
    metric = metric or (GREEDY if temperature == 0 else "pass@1")
    if (metric == GREEDY) != (temperature == 0):
        raise InputError(
            f"eval.metric: {metric} is of {'greedy decoding' if metric == GREEDY else 'sampled completions'}, but the temperature "
            f"is {temperature:g}: for greedy accuracy --set eval.metric=greedy --set eval.temperature=0.0 --set "
            "eval.num_generations=1, for sampled completions --set eval.metric=pass@1 --set eval.temperature=0.8 (or another)"
        )
    if metric == GREEDY and own.num_generations > 1:
        raise InputError(
            f"eval.num_generations: {own.num_generations} completions of greedy decoding are the same completion every time; "
            "give 1, or sample (--set eval.metric=pass@1 --set eval.temperature=0.8)"
        )
    if k_of(metric) > own.num_generations:
        raise InputError(
            f"eval.metric: {metric} needs {counted(k_of(metric), 'completion')} a question, eval.num_generations is "
            f"{own.num_generations}"
        )
    return metric, temperature


def round_config(config: Config, number: int) -> Config:
    """The settings of round `number`, from 1: those of the evaluation with a seed of its own, seed + number − 1."""
    return config.model_copy(update={"seed": (config.seed + number - 1) % (1 << 32)})


def check_questions(config: Config, rows: int | None = None) -> None:
    """Raise InputError unless the test set has `eval.questions` rows, or `data.limit` of them if that is less.

    They are counted in the source unless `rows` is known.
    """
    if (expected := config.eval.questions) is None:
        return
    count = sum(1 for _ in read_rows(config.data)) if rows is None else rows
    limit = config.data.limit
    if count != (min(expected, limit) if limit else expected):
        raise InputError(
            f"data.path {config.data.path} has {counted(count, 'row')}{f' (data.limit is {limit})' if limit else ''}, but this "
            f"test set has eval.questions = {expected}: this is another set, split or version. Give the right one "
            "(--set data.path=…, data.name, data.split), or evaluate on these rows with --set eval.questions=null"
        )


def own_seed(run: RunDir, config: Config) -> int | None:
    """The seed of an evaluation with settings `config`; None if it is the run's."""
    return None if config.seed == run.config.seed else config.seed


def default_name(data: str, policy: str, seed: int | None = None) -> str:
    """TESTSET-POLICY, and with a seed of its own -seedS."""
    label = Path(policy).name if "/" in policy and not policy.startswith("train/") else policy
    label, at, step = label.partition("@")
    label = f"{label}-step-{int(step):06d}" if at and step.isdecimal() else label + at + step
    return default_file_name(data, label, *([] if seed is None else [f"seed{seed}"]))
