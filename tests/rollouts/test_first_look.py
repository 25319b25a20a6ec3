"""The first shard is looked at before the others are drawn: nearly nothing or all solved, or most cut off, stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.report import write_report
from learnalign.rollouts import rollout
from learnalign.rollouts.engines.contract import Completion
from learnalign.rollouts.engines.transformers import TransformersEngine
from learnalign.rundir import RunDir
from learnalign.summary import summarise
from tests.tiny import make_run

SHARD = 16  # prompts, of 4 completions: just enough evidence


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, finish: str = "stop", **sections: object) -> RunDir:
    """A run of two shards, whose policy answers `text` to everything."""

    def ids(letters: str) -> list[int]:
        return [ord(letter) - ord("!") for letter in letters]  # as `tests.tiny`'s tokenizer has them

    def generate(self, requests, sampling, ended=None):  # type: ignore[no-untyped-def]
        return {one.id: [Completion(ids("AB"[i % 2] + text), finish) for i in range(4)] for one in requests}  # type: ignore[arg-type]

    monkeypatch.setattr(TransformersEngine, "generate", generate)
    return make_run(folder, 2 * SHARD, executor={"shard_size": SHARD}, **sections)  # type: ignore[arg-type]


def stored(run: RunDir) -> int:
    return len(list(run.path.glob("rollouts/part-*.parquet")))


@pytest.mark.parametrize(
    ("text", "sections", "words"),
    [
        ("no", {}, ["0 of 64 are correct", "show", "--never", "data.answer", "exact"]),
        ("", {"verifier": "tests.rollouts.judges:always"}, ["64 of 64 are correct", "--always"]),
    ],
)
def test_nothing_or_everything_correct_stops_after_the_first_shard_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sections: dict[str, str], words: list[str]
) -> None:
    run = make(tmp_path, monkeypatch, text, **sections)
    for stage in (rollout, rollout, grad):  # what is stored does not let it pass the second time
        with pytest.raises(InputError) as error:
            stage(run)
        assert all(word in str(error.value) for word in [*words, "--anyway"])
        assert stored(run) == 1
        assert f"of the first {SHARD * 4} completions" in write_report(run, tmp_path / "page.html").read_text()
    assert summarise(run)["caution"] is None
    assert rollout(run, anyway=True).counts["prompts"] == 2 * SHARD
    assert all(word in summarise(run)["caution"] for word in ["of all 128 completions", *words[1:]])
    rollout(run)  # finished: it is not looked at again


def test_completions_that_are_cut_off_stop_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, monkeypatch, "", "length", verifier="tests.rollouts.judges:second_letter")
    with pytest.raises(InputError, match=r"64 of 64 are cut off.*rollout.max_completion_length \(12\)"):
        rollout(run)


def test_half_correct_and_whole_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, monkeypatch, "", verifier="tests.rollouts.judges:second_letter")
    assert rollout(run).counts["learnable"] == 2 * SHARD


def test_a_pool_of_one_shard_is_looked_at_and_a_tiny_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path / "one", monkeypatch, "no")
    one = RunDir.create(
        tmp_path / "one shard",
        run.config.model_copy(update={"executor": run.config.executor.model_copy(update={"shard_size": 100})}),
    )
    with pytest.raises(InputError, match="0 of 128 are correct"):
        rollout(one)
    tiny = make_run(tmp_path / "tiny", 15)
    assert rollout(tiny).counts["learnable"] == 0
