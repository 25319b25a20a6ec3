"""`learnalign eval`: scores a policy's completions on a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learnalign.errors import InputError
from learnalign.evaluation.columns import Part, by_columns
from learnalign.evaluation.metrics import Estimate, k_of, ladder, metric_over_rounds, values_by_question
from learnalign.evaluation.paired import Difference, check_comparable, compare
from learnalign.evaluation.testset import check_questions, default_name, evaluation_config, own_seed, round_config
from learnalign.prompts import stored_prompts
from learnalign.rollouts import rollout
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir, file_name
from learnalign.rundir.files import write_json


@dataclass(frozen=True, kw_only=True)
class EvalResult:
    """The headline `metric` and all others, with 95 % confidence intervals; of several rounds mean and std.

    `seeds` are those of the rounds, `samples`, `unscored` and `truncated` are of all rounds together. `left_out` counts
    unusable rows of the test set, `unscored` completions that the verifier could not score: neither counts for or against
    the policy. `columns` is the headline by column of the test set and its value, `against` the difference from another
    evaluation, question by question.
    """

    name: str
    policy: str
    metric: str
    value: float
    std: float | None
    seeds: list[int]
    metrics: dict[str, Estimate]
    questions: int
    left_out: int
    samples: int
    unscored: int
    truncated: int
    temperature: float
    top_p: float
    columns: dict[str, dict[str, Part]]
    against: Difference | None
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
    against: str | None = None,
) -> EvalResult:
    """Sample a policy's completions on a test set and write DIR/eval/NAME.json.

    Args:
        run: names the model, the verifier and the system prompt.
        data: a ready test set (gsm8k, math500 …), a YAML file like theirs, or data with the pool's columns.
        name: of the result; None: TESTSET-POLICY, and -seedS for another seed than the run's.
        policy: policy, base, train/NAME, train/NAME@STEP or a model directory; replaces `eval.policy`.
        overrides: `key=value` on the evaluation's settings, such as eval.num_generations=8 or data.limit=300.
        overwrite: replace DIR/eval/NAME by a new evaluation.
        against: the name of a finished evaluation of the same test set, with which this one is compared.

    DIR/eval/NAME is a run directory whose pool is the test set and whose rollouts are the completions, drawn by the
    rollout stage shard by shard: an interrupted evaluation resumes, and another metric samples nothing new. The further
    rounds of `eval.rounds` are run directories below it, rounds/2 and so on; more rounds keep those that are there.

    Raises InputError for invalid settings or data, and if `against` is missing or made with other settings; RunError if the
    engine or the verifier fails.
    """
    config = evaluation_config(run, data, policy, overrides)
    name = file_name(name or default_name(data, config.eval.policy, own_seed(run, config)))
    if against is not None:
        check_comparable(run, name, config, against)
    check_questions(config, None if overwrite else _rows_read(RunDir(run.path / "eval" / name, config)))
    if not overwrite:
        _check_greedy(RunDir(run.path / "eval" / name, config))
    with run.child("eval", name, config, overwrite=overwrite, more=("rounds",)) as sub:
        where = str(Path(data).resolve()) if Path(data).exists() else data
        compared = {} if against is None else {"against": against}
        sub.note_command("eval", data=where, name=name, policy=config.eval.policy, set=list(overrides), **compared)
        rounds = [sub, *(_round(sub, number) for number in range(2, config.eval.rounds + 1))]
        counts = [rollout(one, anyway=True).counts for one in rounds]
        pairs = [{id: (row.scored, row.correct) for id, row in load_success(one).items()} for one in rounds]
        asked = stored_prompts(sub)
    headline = str(config.eval.metric)
    names = ladder(headline, config.eval.num_generations)
    metrics = {each: metric_over_rounds(each, pairs) for each in names if _possible(each, pairs) or each == headline}
    values = values_by_question(headline, pairs)
    result = EvalResult(
        name=name,
        policy=config.eval.policy,
        metric=headline,
        value=metrics[headline].value,
        std=metrics[headline].std,
        seeds=[one.config.seed for one in rounds],
        metrics=metrics,
        questions=counts[0]["prompts"],
        left_out=sub.read_record()["stages"]["pool"]["counts"]["left_out"] + counts[0]["left_out"],
        samples=sum(each["samples"] for each in counts),
        unscored=sum(each["unscored"] for each in counts),
        truncated=sum(each["truncated"] for each in counts),
        temperature=config.rollout.temperature,
        top_p=config.rollout.top_p,
        columns=by_columns(config.data, asked, values),
        against=None if against is None else compare(run, values, {one.id for one in asked}, headline, against),
        file=run.path / "eval" / f"{name}.json",
        directory=sub.path,
    )
    write_json(result.file, _as_json(result, config.model_dump(mode="json")))
    return result


def _round(run: RunDir, number: int) -> RunDir:
    """The run directory of a further round."""
    with run.child("rounds", str(number), round_config(run.config, number)) as one:
        return one


def _check_greedy(sub: RunDir) -> None:
    """Raise InputError if `sub` would sample pass@1 where an earlier version, which called greedy decoding pass@1, has results."""
    now = sub.config.rollout.temperature
    before = RunDir.peek(sub.path).config.rollout.temperature if sub.is_finished("pool") else now
    if sub.config.eval.metric == "pass@1" and before == 0 < now:
        raise InputError(
            f"{sub.path}: this evaluation is of greedy decoding, which eval.metric: pass@1 once meant; pass@1 is now of "
            f"completions sampled at temperature {now:g}. Ways out: --set eval.metric=greedy (or in the run's config.yaml) "
            "keeps it; another --name samples beside it; --overwrite samples in its place"
        )


def _rows_read(sub: RunDir) -> int | None:
    """Rows of the test set, if the evaluation has read it already."""
    return sub.read_record()["stages"]["pool"]["counts"]["rows"] if sub.is_finished("pool") else None


def _possible(name: str, rounds: Sequence[Mapping[str, tuple[int, int]]]) -> bool:
    return all(any(scored >= k_of(name) for scored, _ in one.values()) for one in rounds)


def _as_json(result: EvalResult, settings: dict[str, Any]) -> dict[str, Any]:
    own = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
    kept = ("seed", "model", "data", "verifier", "rollout", "eval")
    interval = "95 %, Wilson's score interval at the effective number of questions"
    return {**own, "interval": interval, "settings": {key: settings[key] for key in kept}}
