"""Files larger than the memory: read twice, judged a shard at a time, in whatever order their lines are."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from learnalign.errors import InputError, RunError
from learnalign.prompts import Prompts, load_prompts
from learnalign.rollouts import import_rollouts, imports, load_rollouts
from learnalign.rollouts.given import Given, seekable
from learnalign.rundir import RunDir
from learnalign.verify import Verdict
from tests.tiny import make_run


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """12 prompts in shards of 5."""
    return make_run(tmp_path)


@pytest.fixture
def pool(run: RunDir) -> Prompts:
    return load_prompts(run)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of completions that were judged at once."""
    counts: list[int] = []
    judge = imports.judge

    def counting(verifier: Any, completions: Sequence[Any], *others: Any) -> list[Verdict]:
        counts.append(len(completions))
        return judge(verifier, completions, *others)

    monkeypatch.setattr(imports, "judge", counting)
    return counts


def shuffled(run: RunDir, pool: Prompts, each: int, name: str = "mine.jsonl") -> tuple[Path, dict[str, list[str]]]:
    """A file of `each` completions of every prompt in random order, and the texts by id in the file's order."""
    order = [prompt.id for prompt in pool for _ in range(each)]
    random.Random(0).shuffle(order)
    texts: dict[str, list[str]] = {}
    rows = []
    for i, id in enumerate(order):
        texts.setdefault(id, []).append(f"ü{i}")
        rows.append(json.dumps({"id": id, "completion": f"ü{i}"}, ensure_ascii=i % 2 == 0) + "\n" * (1 + i % 3))
    content = "\ufeff" + "".join(rows)
    file = run.path.parent / name
    file.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return file, texts


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.gz"])
def test_lines_in_any_order_become_groups_in_the_files_order(name: str, run: RunDir, pool: Prompts) -> None:
    file, texts = shuffled(run, pool, 5, name)
    import_rollouts(run, file)
    rows = [(one.id, one.sample, one.text) for shard in run.shards() for one in load_rollouts(run, shard)]
    assert rows == [(id, sample, text) for id in pool.ids for sample, text in enumerate(texts[id])]
    assert {path.suffix for path in run.path.iterdir()} <= {".parquet", ".json", ".yaml", ".jsonl", ""}


def test_completions_are_judged_a_shard_at_a_time(run: RunDir, pool: Prompts, judged: list[int]) -> None:
    import_rollouts(run, shuffled(run, pool, 3)[0])
    assert judged == [15, 15, 6]


def test_of_a_line_with_completions_sixteen_bytes_are_kept(run: RunDir, pool: Prompts) -> None:
    file, _ = shuffled(run, pool, 20)
    with seekable(file, run.path) as lines:
        given = Given(file, lines, pool, 0)
        arrays = (given._starts, given._places, given._most)
        assert sum(array.nbytes for array in arrays) == 16 * 240
        assert [len(given.completions(start, start + 2)) for start in range(0, 12, 2)] == [40] * 6


def test_an_interrupted_import_judges_only_what_is_not_stored(
    run: RunDir, pool: Prompts, judged: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = shuffled(run, pool, 3)
    write = imports.write_rollouts

    def interrupted(run: RunDir, shard: Any, *others: Any, **more: Any) -> None:
        if shard == run.shards()[1]:
            raise KeyboardInterrupt
        write(run, shard, *others, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(imports, "write_rollouts", interrupted)
        import_rollouts(run, file)
    del judged[:]
    assert import_rollouts(run, file).rollouts.counts["samples"] == 36
    assert judged == [15, 6]


def test_a_file_that_changes_meanwhile_is_refused(run: RunDir, pool: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = shuffled(run, pool, 3)
    write = imports.write_rollouts

    def changing(*others: Any, **more: Any) -> None:
        write(*others, **more)
        file.write_text(json.dumps({"id": pool[0].id, "completion": "other"}) + "\n")

    monkeypatch.setattr(imports, "write_rollouts", changing)
    with pytest.raises(InputError, match=rf"--from {file}: it has changed while it was read"):
        import_rollouts(run, file)


def test_shards_without_a_score_are_stored_once_another_has_one(
    run: RunDir, pool: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, texts = shuffled(run, pool, 2)
    only: set[str] = set()

    def judge(verifier: Any, completions: Sequence[tuple[Any, str]]) -> list[Verdict]:
        return [Verdict(0.0, "wrong") if prompt.id in only else Verdict(None, "broken") for prompt, _ in completions]

    monkeypatch.setattr(imports, "judge", judge)
    with pytest.raises(RunError, match=r"none of 24 completions .*broken \(24\).*nothing of the file was stored"):
        import_rollouts(run, file)
    assert not any(run.rollouts_file(shard).exists() for shard in run.shards())
    only.add(pool[-1].id)
    result = import_rollouts(run, file)
    assert (result.rollouts.counts["samples"], result.rollouts.counts["unscored"]) == (24, 22)
    assert sum(len(load_rollouts(run, shard)) for shard in run.shards()) == sum(map(len, texts.values()))
