"""The rollout stage: what it stores, that it adds up, and that nothing stored is sampled again."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from learnalign.policy import load_tokenizer, prompt_ids
from learnalign.prompts import load_prompts
from learnalign.rollouts import groups, load_rollouts, rollout, stage
from learnalign.rollouts.groups import Rollout
from learnalign.rundir import RunDir
from tests.tiny import make_config, make_run

JUDGE = "tests.rollouts.judges:by_first_letter"


def stored(run: RunDir) -> list[Rollout]:
    return [one for shard in run.shards() for one in load_rollouts(run, shard)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A finished run of 12 prompts in shards of 5, some rollouts unscored."""
    made = make_run(tmp_path_factory.mktemp("stage"), verifier=JUDGE)
    rollout(made)
    return made


def test_every_prompt_has_its_group_in_the_order_of_the_pool(run: RunDir) -> None:
    expected = [(prompt.id, sample) for prompt in load_prompts(run) for sample in range(4)]
    assert [(one.id, one.sample) for one in stored(run)] == expected
    assert [len(pq.read_table(run.rollouts_file(shard))) for shard in run.shards()] == [20, 20, 8]


def test_columns_and_types_are_the_contract(run: RunDir) -> None:
    schema = pq.read_schema(run.rollouts_file(run.shards()[0]))
    assert {field.name: str(field.type).replace("element", "item") for field in schema} == {
        "id": "string",
        "sample": "int32",
        "prompt_ids": "list<item: int32>",
        "completion_ids": "list<item: int32>",
        "text": "string",
        "reward": "double",
        "answer": "string",
        "reason": "string",
        "finish_reason": "string",
        "share_passed": "double",
    }
    names = pq.read_schema(run.success_file).names
    assert names[:6] == ["id", "samples", "scored", "correct", "success_rate", "learnability"]


def test_text_is_that_of_the_tokens_and_prompts_are_templated(run: RunDir) -> None:
    tokenizer = load_tokenizer(run.config)
    messages = {prompt.id: prompt.messages for prompt in load_prompts(run)}
    for one in stored(run):
        assert one.text == tokenizer.decode(one.completion_ids, skip_special_tokens=True)
        assert one.prompt_ids == prompt_ids(tokenizer, messages[one.id])


def test_success_rates_and_counts_add_up(run: RunDir) -> None:
    groups = defaultdict(list)
    for one in stored(run):
        groups[one.id].append(one)
    rows = pq.read_table(run.success_file).to_pylist()
    assert [row["id"] for row in rows] == [prompt.id for prompt in load_prompts(run)]
    for row in rows:
        rewards = [one.reward for one in groups[row["id"]]]
        scored = [reward for reward in rewards if reward is not None]
        assert (row["samples"], row["scored"], row["correct"]) == (4, len(scored), sum(scored))
        p = sum(scored) / len(scored) if scored else None
        assert row["success_rate"] == p
        assert row["learnability"] == (0.0 if p is None else p * (1 - p))
        assert p is None or row["success_low"] < max(p, 1e-3)
        assert p is None or row["success_high"] > min(p, 0.999)
    every = [one for group in groups.values() for one in group]
    counts = run.read_record()["stages"]["rollout"]["counts"]
    assert counts == {
        "prompts": 12,
        "left_out": 0,
        "samples": 48,
        "tokens": sum(len(one.completion_ids) for one in every),
        "truncated": sum(one.finish_reason == "length" for one in every),
        "cut_short": 0,
        "unscored": sum(one.reward is None for one in every),
        "learnable": sum(row["learnability"] > 0 for row in rows),
        "fewer_scored": sum(row["scored"] < 4 for row in rows),
    }
    assert counts["unscored"] > 0
    assert counts["learnable"] > 0


def test_groups_with_fewer_scored_rollouts_are_named(run: RunDir) -> None:
    rows = pq.read_table(run.success_file).to_pylist()
    expected = {row["id"]: row["scored"] for row in rows if row["scored"] < 4}
    assert run.read_record()["stages"]["rollout"]["fewer_scored"] == expected != {}


def test_a_finished_run_is_not_sampled_again(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "RolloutWorker", lambda *_: pytest.fail("an engine was opened"))
    before = run.success_file.read_bytes()
    assert rollout(run).counts["samples"] == 48
    assert run.success_file.read_bytes() == before


def test_only_a_missing_or_damaged_shard_is_sampled_and_comes_out_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path, verifier=JUDGE)
    rollout(run)
    before = stored(run)
    first, second, third = run.shards()
    run.rollouts_file(first).unlink()
    damaged = run.rollouts_file(second)
    damaged.write_bytes(damaged.read_bytes()[:-40])
    written = run.rollouts_file(third).stat().st_mtime_ns
    rollout(run)
    assert stored(run) == before
    assert run.rollouts_file(third).stat().st_mtime_ns == written


def test_another_sharding_gives_the_same_rollouts(run: RunDir, tmp_path: Path) -> None:
    other = make_run(tmp_path, verifier=JUDGE, executor={"shard_size": 12})
    rollout(other)
    assert stored(other) == stored(run)


def test_another_seed_gives_other_rollouts(run: RunDir, tmp_path: Path) -> None:
    other = make_run(tmp_path, verifier=JUDGE, seed=1)
    rollout(other)
    assert [one.completion_ids for one in stored(other)] != [one.completion_ids for one in stored(run)]


def test_prompts_too_long_for_the_model_are_quarantined(tmp_path: Path) -> None:
    config = make_config(tmp_path, verifier=JUDGE)
    file = tmp_path / "model" / "config.json"
    settings = json.loads(file.read_text())
    tokenizer = load_tokenizer(config)
    lengths = {
        p.id: len(prompt_ids(tokenizer, p.messages)) for p in load_prompts(RunDir.create(tmp_path / "pool", config))
    }
    longest = max(lengths.values())
    too_long = [id for id, length in lengths.items() if length == longest]
    file.write_text(json.dumps({**settings, "max_position_embeddings": longest}))
    run = RunDir.create(tmp_path / "run", config)
    result = rollout(run)
    left_out = [line for line in run.quarantined() if line["stage"] == "rollout"]
    reason = f"too long for the engine: {longest} tokens, it takes {longest}"
    assert [(line["id"], line["reason"]) for line in left_out] == [(id, reason) for id in too_long]
    assert 0 < len(too_long) < 12
    assert (result.counts["prompts"], result.counts["left_out"]) == (12 - len(too_long), len(too_long))
    row = {row["id"]: row for row in pq.read_table(run.success_file).to_pylist()}[too_long[0]]
    assert (row["samples"], row["success_rate"], row["learnability"]) == (0, None, 0.0)
    rollout(run)  # reported again when nothing is left to do
    assert [line for line in run.quarantined() if line["stage"] == "rollout"] == left_out


def test_rollouts_cut_short_by_the_context_are_counted(tmp_path: Path) -> None:
    config = make_config(tmp_path, verifier=JUDGE)
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_position_embeddings": 40}))
    run = RunDir.create(tmp_path / "run", config)
    counts = rollout(run).counts
    every = stored(run)
    short = [one for one in every if one.finish_reason == "length" and len(one.completion_ids) < 12]
    assert counts["cut_short"] == len(short) > 0
    assert all(len(one.prompt_ids) + len(one.completion_ids) == 40 for one in short)


def test_adaptive_groups_are_beginnings_of_full_ones(tmp_path: Path, run: RunDir) -> None:
    full = make_run(tmp_path / "full", verifier=JUDGE, rollout={"num_generations": 8})
    adaptive = make_run(tmp_path / "adaptive", verifier=JUDGE, rollout={"num_generations": 8, "adaptive": True})
    rollout(full, anyway=True)
    result = rollout(adaptive, anyway=True)
    everything, taken = stored(full), stored(adaptive)
    assert set(map(repr, taken)) < set(map(repr, everything))
    sizes = Counter(one.id for one in taken)
    assert set(sizes.values()) == {4, 8}
    uniform = {id for id in sizes if len({o.reward for o in everything if o.id == id and o.sample < 4} - {None}) == 1}
    assert {id for id, size in sizes.items() if size == 4} >= uniform
    assert result.adaptive["stopped_early"] == sum(size == 4 for size in sizes.values())
    assert result.adaptive["samples_saved"] == len(everything) - len(taken)
    assert adaptive.read_record()["stages"]["rollout"]["adaptive"] == result.adaptive
    assert all(count < 8 for count in result.fewer_scored.values())


def test_concluding_reads_every_shard_once(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Path] = []
    read = groups.read_parquet
    monkeypatch.setattr(groups, "read_parquet", lambda file, columns: files.append(file) or read(file, columns))
    held = groups.load_outcomes(run)
    assert files == [run.rollouts_file(shard) for shard in run.shards()]
    assert (held.counts, held.left_out) == ({}, [])
    members: dict[str, list[Rollout]] = {}
    for one in stored(run):
        members.setdefault(one.id, []).append(one)
    expected = {}
    for id, group in members.items():
        rewards = [one.reward for one in group if one.reward is not None]
        lengths = [len(one.completion_ids) for one in group]
        cut = [length for one, length in zip(group, lengths, strict=True) if one.finish_reason == "length"]
        short = sum(length < run.config.rollout.max_completion_length for length in cut)
        expected[id] = groups.Outcome(len(group), len(rewards), int(sum(rewards)), sum(lengths), len(cut), short)
    assert held.outcomes == expected
    assert held.unscored == Counter(one.reason for one in stored(run) if one.reward is None)
