"""Two policies on the same questions: the mean difference of a metric and its interval, from question to question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.config import Config
from learnalign.errors import InputError, RunError, listed_briefly, short
from learnalign.evaluation.metrics import GREEDY, Z, values_by_question
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_json
from learnalign.rundir.stages import digest_of, settings_of
from learnalign.sources import local_source

SAME = 1e-12  # values nearer than this are equal: means over rounds differ by rounding
INTERVAL = "95 %, paired by question, Agresti and Min's with half a question added that either alone solves"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """This evaluation minus the evaluation `name` of `policy`, over the `questions` that have a value in both.

    `here` and `there` are the metric over these questions, `better`, `worse` and `equal` count them by the difference.
    `only_here` and `only_there` count questions with a value in one evaluation alone (left out or not scored in the other),
    `neither` those that no evaluation could score.
    """

    name: str
    policy: str
    value: float
    low: float
    high: float
    here: float
    there: float
    questions: int
    better: int
    worse: int
    equal: int
    only_here: int
    only_there: int
    neither: int


def check_comparable(run: RunDir, name: str, config: Config, against: str) -> None:
    """Raise InputError unless DIR/eval/`against` is finished and like the evaluation `name` with `config`, but for the policy."""
    stored = _stored(run, against)
    if against == name:
        raise InputError(f"--against {against}: this evaluation has that name itself; give another --name")
    other = RunDir.peek(run.path / "eval" / against)
    there, here = _settings(other.config), _settings(config)
    there["eval.metric"], here["eval.metric"] = _metric(stored), config.eval.metric
    unlike = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if unlike:
        listed = "; ".join(
            f"{key}: {short(there.get(key))} in {against}, {short(here.get(key))} here" for key in unlike
        )
        raise InputError(
            f"--against {against}: it is another evaluation: {listed}. Evaluate this policy like it (--data, --k, --set KEY=VALUE), "
            f"or its policy like this one, under another --name; DIR/eval has {listed_briefly(_finished(run))}"
        )
    source, known = local_source(config.data), other.read_record()["inputs"].get("data")
    if source is not None and known is not None and digest_of(source) != known:
        raise InputError(
            f"--against {against}: {source} has changed since {against} was made; put it back, or evaluate the policy of {against} "
            "again (--overwrite)"
        )


def compare(run: RunDir, values: Mapping[str, float], asked: set[str], metric: str, against: str) -> Difference:
    """The difference from the evaluation `against` of the `values` by question id; `asked` are the ids of all questions.

    Raises RunError if no question has a value in both.
    """
    stored, root = _stored(run, against), run.path / "eval" / against
    folders = [root, *(root / "rounds" / str(number) for number in range(2, len(stored["seeds"]) + 1))]
    rounds = [
        {id: (row.scored, row.correct) for id, row in load_success(RunDir.peek(folder)).items()} for folder in folders
    ]
    others = values_by_question(metric, rounds)
    both = sorted(values.keys() & others.keys())
    if not both:
        raise RunError(f"--against {against}: no question has a value of {metric} in both evaluations")
    differences = [values[id] - others[id] for id in both]
    low, high = paired_interval(differences)
    return Difference(
        name=against,
        policy=stored["policy"],
        value=math.fsum(differences) / len(both),
        low=low,
        high=high,
        here=math.fsum(values[id] for id in both) / len(both),
        there=math.fsum(others[id] for id in both) / len(both),
        questions=len(both),
        better=sum(each > SAME for each in differences),
        worse=sum(each < -SAME for each in differences),
        equal=sum(abs(each) <= SAME for each in differences),
        only_here=len(values.keys() - others.keys()),
        only_there=len(others.keys() - values.keys()),
        neither=len((asked | {id for one in rounds for id in one}) - values.keys() - others.keys()),
    )


def paired_interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences in [−1, 1] (Agresti and Min, 2005, for answers of 0 and 1).

    Half a question is added that the one alone solves, half that the other does, and one that makes no difference. So the
    interval has a width if no question differs, and covers the truth if few do, where Student's t does neither.
    """
    n = len(differences) + 2
    mean = math.fsum(differences) / n
    variance = (math.fsum(each**2 for each in differences) + 1) / n - mean**2
    half = Z * math.sqrt(variance / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def _stored(run: RunDir, against: str) -> dict[str, Any]:
    """DIR/eval/NAME.json."""
    finished = _finished(run)
    if against not in finished:
        there = f"it has {listed_briefly(finished)}" if finished else "it has none yet: evaluate that policy first"
        raise InputError(f"--against {against}: {run.path / 'eval'} has no finished evaluation of that name; {there}")
    return dict(read_json(run.path / "eval" / f"{against}.json"))


def _finished(run: RunDir) -> list[str]:
    return sorted(file.stem for file in (run.path / "eval").glob("*.json") if file.with_suffix("").is_dir())


def _metric(stored: dict[str, Any]) -> str:
    """The headline of a stored result; former versions called that of greedy decoding pass@1."""
    return GREEDY if stored["temperature"] == 0 else str(stored["metric"])


def _settings(config: Config) -> dict[str, Any]:
    """What two evaluations must share: the test set, the verifier and the sampling, whatever the model."""
    own = settings_of(config, "pool") | settings_of(config, "rollout")
    return {key: value for key, value in own.items() if not key.startswith(("model.", "executor.", "rollout.vllm."))}
