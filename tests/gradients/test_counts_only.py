"""Success rates that came without completions: every prompt is counted, and a run with counts alone is refused."""

import json
from pathlib import Path

import pytest

from learnalign.errors import RunError
from learnalign.gradients import grad
from learnalign.prompts import load_prompts
from learnalign.rollouts import import_rollouts
from tests.tiny import make_run


def test_groups_without_completions_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    prompts = load_prompts(run)
    rows = [{"id": p.id, "completion": text} for p in prompts[:2] for text in (p.answer, "no")]
    rows += [{"id": p.id, "correct": 1, "scored": 4} for p in prompts[2:5]]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_rollouts(run, tmp_path / "mine.jsonl")
    result = grad(run)
    assert result.features == 2
    assert result.features + len(result.bad) + sum(result.skipped.values()) == len(prompts)


def test_counts_alone_give_no_gradients(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [{"id": p.id, "correct": 1, "scored": 4} for p in load_prompts(run)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_rollouts(run, tmp_path / "mine.jsonl")
    with pytest.raises(RunError, match="came as counts"):
        grad(run)
