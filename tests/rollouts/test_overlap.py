"""Several shards at once: the engine has the next one while one is judged and written, or waits for its longest completions."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from learnalign.errors import RunError
from learnalign.progress import Advance, unseen
from learnalign.rollouts import Completion, Request, Sampling, load_rollouts, rollout, stage, unfinished
from learnalign.rundir import RunDir
from tests.tiny import make_run

SHAPE: dict[str, Any] = {
    "rollout": {"engine": "transformers", "num_generations": 2, "max_completion_length": 8},
    "executor": {"shard_size": 3},
    "verifier": "exact",
}


OF_A_SHARD = 6  # completions


class Echo:
    """An engine that answers with the prompt's last tokens, and whose first calls wait until `shards` of them are there.

    It wants as many completions; a call has `tail` of its own still to come while it waits.
    """

    name, context_length = "transformers", 512

    def __init__(
        self, shards: int, fails: int | None = None, tail: int = OF_A_SHARD, wanted: int | None = None
    ) -> None:
        self.shards, self._fails, self._tail = shards, fails, tail
        self.wanted = (shards - 1) * OF_A_SHARD + 1 if wanted is None else wanted
        self.calls, self.most, self.closed = 0, 0, False
        self._inside, self._lock = 0, threading.Lock()
        self._meeting = threading.Barrier(shards)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self._meeting.abort()

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, ended: Advance = unseen
    ) -> dict[str, list[Completion]]:
        with self._lock:
            self.calls += 1
            call, self._inside = self.calls, self._inside + 1
            self.most = max(self.most, self._inside)
        if call == self._fails:
            raise RunError("the engine is gone")
        count = sum(len(request.seeds) for request in requests)
        ended(count - self._tail)
        if call <= self.shards:
            self._meeting.wait(60)
        with self._lock:
            self._inside -= 1
        ended(self._tail)
        return {r.id: [Completion(list(r.prompt_ids[-8:]), "length") for _ in r.seeds] for r in requests}


def run_with(engine: Echo, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    run = make_run(folder, **SHAPE)
    monkeypatch.setattr(stage, "open_engine", lambda *_: engine)
    rollout(run, anyway=True)
    return run


def test_two_shards_at_once_give_what_one_after_another_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = Echo(1, wanted=0), Echo(2)
    first, second = run_with(one, tmp_path / "one", monkeypatch), run_with(two, tmp_path / "two", monkeypatch)
    assert (one.calls, one.most) == (4, 1)
    assert (two.calls, two.most) == (4, 2)
    assert [load_rollouts(first, shard) for shard in first.shards()] == [
        load_rollouts(second, shard) for shard in second.shards()
    ]
    assert capsys.readouterr().err.count("rollouts: 12/12 prompts") == 2


def test_an_error_of_one_shard_ends_the_other_and_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Echo(2, fails=2)
    with pytest.raises((RunError, threading.BrokenBarrierError)):
        run_with(engine, tmp_path, monkeypatch)
    assert engine.closed
    assert not list(RunDir.open(tmp_path / "run").path.glob("rollouts/*"))


def test_shards_that_wait_for_their_longest_completions_do_not_keep_the_engine_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the four has one completion still to come, which none of them gets before all are there."""
    engine = Echo(4, tail=1, wanted=OF_A_SHARD + 1)
    run_with(engine, tmp_path, monkeypatch)
    assert (engine.calls, engine.most) == (4, 4)


def test_a_hungry_engine_has_a_bounded_number_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "MOST_SHARDS", 2)
    engine = Echo(2, wanted=1000)
    run_with(engine, tmp_path, monkeypatch)
    assert (engine.calls, engine.most) == (4, 2)
