"""A verifier that fails on everything stops the work with its reason; what was sampled is kept, and scored again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from learnalign.errors import RunError
from learnalign.rollouts import import_rollouts, load_rollouts, rollout, stage
from learnalign.rollouts.judging import in_words
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from learnalign.training import warmup
from tests.tiny import make_run

FAILING = "def judge(solution_str, ground_truth):\n    raise ValueError('no key: ' + ground_truth)\n"
MENDED = "def judge(solution_str, ground_truth):\n    return float(len(solution_str) % 2)\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "failing.py"
    path.write_text(FAILING, encoding="utf-8")
    return path


def tokens(run: RunDir) -> list[list[int]]:
    return [one.completion_ids for shard in run.shards()[:1] for one in load_rollouts(run, shard)]


def test_the_first_shard_stops_the_stage_and_is_scored_again(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, verifier="failing:judge")
    with pytest.raises(RunError, match="none of 20 .*the verifier failed: ValueError: 'no key: .* failing:judge"):
        rollout(run)
    assert not run.rollouts_file(run.shards()[1]).exists()
    sampled = tokens(run)
    with monkeypatch.context() as patch, pytest.raises(RunError, match="none of 20"):
        patch.setattr(stage, "open_engine", None)  # scoring again needs no engine
        rollout(run)
    module.write_text(MENDED, encoding="utf-8")
    assert rollout(run).counts["unscored"] == 0
    assert tokens(run) == sampled
    rewards = [one.reward for one in load_rollouts(run, run.shards()[0])]
    assert rewards == [float(len(one.text) % 2) for one in load_rollouts(run, run.shards()[0])]


@pytest.mark.slow
def test_a_stage_that_scores_again_ends_as_one_that_scored_at_once(module: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, count=3, verifier="failing:judge")
    with pytest.raises(RunError, match="none of 12"):
        rollout(run)
    module.write_text(MENDED, encoding="utf-8")
    rollout(run)
    (tmp_path / "second").mkdir()
    second = make_run(tmp_path / "second", count=3, verifier="failing:judge")
    rollout(second)
    files = [each.rollouts_file(each.shards()[0]) for each in (run, second)]
    assert pq.read_table(files[0]).equals(pq.read_table(files[1]))


def test_some_failures_are_counted_by_reason(module: Path, tmp_path: Path) -> None:
    module.write_text(
        MENDED + "    \n" + MENDED.replace("return", "if ground_truth == '0': raise ValueError('x')\n    return")
    )
    result = rollout(make_run(tmp_path, count=3, verifier="failing:judge"))
    assert result.unscored == {"the verifier failed: ValueError: 'x'": 4}
    assert in_words(result.unscored) == "the verifier failed: ValueError: 'x' (4)"


def test_files_without_reasons_are_read(module: Path, tmp_path: Path) -> None:
    module.write_text(MENDED, encoding="utf-8")
    run = make_run(tmp_path, count=3, verifier="failing:judge")
    before = rollout(run).distribution
    file = run.rollouts_file(run.shards()[0])
    write_parquet(file, pq.read_table(file).drop_columns(["reason", "answer"]), run.fingerprint("rollout"))
    assert [(one.reason, one.answer) for one in load_rollouts(run, run.shards()[0])] == [(None, None)] * 12
    assert rollout(run).distribution == before


def test_nothing_of_an_imported_file_is_stored(module: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, count=3, verifier="failing:judge")
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "What is 1 + 1?", "completion": "2"}\n', encoding="utf-8")
    with pytest.raises(RunError, match="none of 1 .*no key: 2"):
        import_rollouts(run, file)
    module.write_text(MENDED, encoding="utf-8")
    assert import_rollouts(run, file).rollouts.counts["samples"] == 1


def test_training_stops_with_the_reason(module: Path, tmp_path: Path) -> None:
    sizes = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 8}
    with pytest.raises(RunError, match="none of 8 .*no key"):
        warmup(make_run(tmp_path, verifier="failing:judge", warmup=sizes))
