"""`learnalign eval`: completions of a policy on a test set, judged, and what they say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learnalign.evaluation.metrics import Estimate, ladder, metric
from learnalign.evaluation.testset import default_name, evaluation_config
from learnalign.rollouts import rollout
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir, file_name
from learnalign.rundir.files import write_json


@dataclass(frozen=True, kw_only=True)
class EvalResult:
    """`metric` is the headline; all metrics have 95 % confidence intervals.

    `left_out` counts rows of the test set that could not be asked, `unscored` completions that could not be judged:
    neither counts for or against the policy.
    """

    name: str
    policy: str
    metric: str
    value: float
    metrics: dict[str, Estimate]
    questions: int
    left_out: int
    samples: int
    unscored: int
    truncated: int
    temperature: float
    top_p: float
    file: Path
    directory: Path


def evaluate(
    run: RunDir,
    data: str,
    *,
    name: str | None = None,
    policy: str | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> EvalResult:
    """Sample a policy's completions on a test set and write DIR/eval/NAME.json.

    Args:
        run: names the model, the verifier and the system prompt.
        data: a ready test set (gsm8k, math500 …), a YAML file like theirs, or data with the pool's columns.
        name: of the result; TESTSET-POLICY where None.
        policy: policy, base, train/NAME or a model directory, in place of `eval.policy`.
        overrides: `key=value` on the evaluation's settings, such as eval.num_generations=8 or data.limit=300.
        overwrite: do it again, whatever is there.

    DIR/eval/NAME is a run directory whose pool is the test set and whose rollouts are the completions, drawn by the
    rollout stage: shard by shard, so that an interrupted evaluation goes on, and nothing is sampled twice for another
    metric.

    Raises InputError for settings or data that do not fit, RunError where engine or verifier fail.
    """
    config = evaluation_config(run, data, policy, overrides)
    name = file_name(name or default_name(data, config.eval.policy))
    sub = run.child("eval", name, config, overwrite=overwrite)
    counts = rollout(sub).counts
    pairs = [(row.scored, row.correct) for row in load_success(sub).values()]
    names = ladder(config.eval.metric, config.eval.num_generations)
    metrics = {each: metric(each, pairs) for each in names if _possible(each, pairs) or each == config.eval.metric}
    result = EvalResult(
        name=name,
        policy=config.eval.policy,
        metric=config.eval.metric,
        value=metrics[config.eval.metric].value,
        metrics=metrics,
        questions=counts["prompts"],
        left_out=sub.read_record()["stages"]["pool"]["counts"]["left_out"] + counts["left_out"],
        samples=counts["samples"],
        unscored=counts["unscored"],
        truncated=counts["truncated"],
        temperature=config.rollout.temperature,
        top_p=config.rollout.top_p,
        file=run.path / "eval" / f"{name}.json",
        directory=sub.path,
    )
    write_json(result.file, _as_json(result, config.model_dump(mode="json")))
    return result


def _possible(name: str, counts: Sequence[tuple[int, int]]) -> bool:
    return any(scored >= int(name.partition("@")[2]) for scored, _ in counts)


def _as_json(result: EvalResult, settings: dict[str, Any]) -> dict[str, Any]:
    own = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
    kept = ("seed", "model", "data", "verifier", "rollout", "eval")
    interval = "95 %, Wilson's score interval at the effective number of questions"
    return {**own, "interval": interval, "settings": {key: settings[key] for key in kept}}
