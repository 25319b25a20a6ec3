"""`learnalign verify DIR`: a run's stored rollouts judged again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from learnalign.errors import InputError, RunError
from learnalign.prompts import Prompt, load_prompts
from learnalign.rollouts import import_rollouts
from learnalign.rollouts.again import verify_run
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_text
from tests.tiny import make_run
from tests.verify.test_rows import run as verify


@pytest.fixture
def pool(tmp_path: Path) -> tuple[RunDir, list[Prompt]]:
    run = make_run(tmp_path)
    return run, load_prompts(run)


def fill(run: RunDir, *rows: dict[str, Any]) -> None:
    file = run.path.parent / "rollouts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_rollouts(run, file)


def contents(run: RunDir) -> dict[Path, tuple[bytes, int]]:
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in run.path.rglob("*") if p.is_file()}


def test_the_runs_own_verifier_agrees_with_the_stored_rewards_and_nothing_is_written(
    pool: tuple[RunDir, list[Prompt]],
) -> None:
    run, prompts = pool
    fill(run, {"id": prompts[0].id, "completions": [prompts[0].answer, "no", ""]})
    before = contents(run)
    result = verify(run.path, "--json")
    summary = json.loads(result.stdout)
    assert contents(run) == before
    assert (summary["rows"], summary["disagreements"]) == (3, 0)
    assert [each["verifier"] for each in summary["verifiers"]] == ["stored", run.config.verifier]
    assert [(each["correct"], each["wrong"]) for each in summary["verifiers"]] == [(1, 2), (1, 2)]


def test_another_verifier_shows_the_verdicts_that_differ(pool: tuple[RunDir, list[Prompt]]) -> None:
    run, prompts = pool
    answer = prompts[0].answer
    fill(run, {"id": prompts[0].id, "completions": [answer, f"#### {answer}"]})
    report = verify_run(run.path, ["gsm8k"], None)
    assert report.disagreements == len(report.examples) > 0
    assert report.examples[0].place == f"{prompts[0].id}, sample 0"
    result = verify(run.path, "--verifier", "gsm8k")
    assert result.stdout == ""
    assert f"disagree on {report.disagreements} rows" in result.stderr


def test_the_runs_reasoning_tags_apply(pool: tuple[RunDir, list[Prompt]]) -> None:
    run, prompts = pool
    fill(run, {"id": prompts[0].id, "completion": f"<scratch>\\boxed{{{prompts[0].answer}}}</scratch>"})
    assert verify_run(run.path, ["math"], None).tallies[1].correct == 1
    config = yaml.safe_load(run.config_file.read_text(encoding="utf-8"))
    config["data"]["reasoning_tags"] = ["scratch"]
    write_text(run.config_file, yaml.safe_dump(config))
    assert verify_run(run.path, ["math"], None).tallies[1].correct == 0


def test_rows_go_to_the_output_file_with_the_stored_reward(pool: tuple[RunDir, list[Prompt]], tmp_path: Path) -> None:
    run, prompts = pool
    fill(run, {"id": prompts[0].id, "completion": "no"})
    output = tmp_path / "scored.jsonl"
    verify(run.path, "-o", output)
    row = json.loads(output.read_text(encoding="utf-8"))
    assert row.pop("reason")
    assert row == {
        "id": prompts[0].id,
        "sample": 0,
        "answer": prompts[0].answer,
        "completion": "no",
        "stored": 0.0,
        "reward": 0.0,
        "read": "no",
    }


def test_groups_known_by_their_counts_are_counted_apart(pool: tuple[RunDir, list[Prompt]]) -> None:
    run, prompts = pool
    fill(run, {"id": prompts[0].id, "correct": 1, "scored": 2}, {"id": prompts[1].id, "completion": "no"})
    report = verify_run(run.path, [], None)
    assert (report.rows, report.without_completions) == (1, 1)
    fill_counts = make_run(run.path.parent / "counts")
    load_prompts(fill_counts)
    fill(fill_counts, {"id": prompts[0].id, "correct": 1, "scored": 2})
    with pytest.raises(InputError, match="counts only"):
        verify_run(fill_counts.path, [], None)


def test_a_run_without_rollouts_is_refused(pool: tuple[RunDir, list[Prompt]]) -> None:
    with pytest.raises(RunError, match="learnalign rollout"):
        verify_run(pool[0].path, [], None)


def test_columns_of_a_file_are_refused_for_a_run(pool: tuple[RunDir, list[Prompt]]) -> None:
    result = verify(pool[0].path, "--answer", "gold")
    assert result.exit_code == 2
    assert "--completion and --answer" in result.stderr
