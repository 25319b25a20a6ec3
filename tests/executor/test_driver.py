"""Workers in processes of their own: every shard is done once, whatever becomes of the workers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from multiprocessing.connection import Client
from typing import Any

import pytest

from learnalign.errors import InputError, RunError
from learnalign.executor import driver, execute
from learnalign.executor.desk import TRIES, Desk
from learnalign.executor.driver import Driver
from learnalign.executor.local import Processes
from learnalign.executor.serving import Gone, Line
from learnalign.progress import Progress
from learnalign.rundir import RunDir
from tests.executor.workers import done, file_of, work
from tests.processes import children


def execute_work(run: RunDir, **options: Any) -> None:
    with run.stage("rollout"):
        execute(run, work(run, **options))


@pytest.mark.parametrize("together", [1, 4])
def test_two_workers_do_every_shard_once(run: RunDir, together: int, capsys: pytest.CaptureFixture[str]) -> None:
    execute_work(run, fails={"0": ["wait"]}, together=together)
    assert done(run) == [1] * 6
    workers = {file_of(run, shard).read_text() for shard in run.shards()}
    assert len(workers) == 2
    assert run.read_record()["stages"]["rollout"]["workers"] == 2
    assert "work: 12/12 prompts" in capsys.readouterr().err
    assert not children("learnalign.executor.process")


def test_shards_of_workers_that_are_lost_are_done_by_others(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    execute_work(run, fails={"1": ["kill", "exit"], "4": ["error", "error"]}, together=2)
    assert done(run) == [1] * 6
    told = capsys.readouterr().err
    assert "work: 12/12 prompts" in told
    assert told.count("work: lost a worker, others do its shards: ") == 4
    assert "its process ended by signal 9" in told


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("kill", r"its process ended by signal 9 \(out of memory, if nobody killed it\)"),
        ("exit", "its process ended with exit status 3: out of luck"),
        ("error", "RuntimeError: CUDA error: an illegal memory access"),
    ],
)
def test_a_shard_that_loses_every_worker_is_given_up_and_the_others_are_stored(
    run: RunDir, way: str, words: str
) -> None:
    with pytest.raises(
        RunError, match=rf"1 shard was given up after 3 lost workers, .* prompts 4 to 5 of prompts.parquet: {words}"
    ):
        execute_work(run, fails={"2": [way] * TRIES})
    assert done(run) == [1, 1, 0, 1, 1, 1]
    execute_work(run)  # as the message says
    assert done(run) == [1] * 6


def test_shards_that_were_taken_together_with_one_that_kills_workers_are_not_given_up_with_it(run: RunDir) -> None:
    with pytest.raises(RunError, match="1 shard was given up after 3 lost workers"):
        execute_work(run, fails={"2": ["kill"] * TRIES}, together=6)
    assert done(run) == [1, 1, 0, 1, 1, 1]


class Places:
    """Workers that the test plays itself; `first` start, and of the later ones it is told that they have ended."""

    host, counts_cpu = "127.0.0.1", False

    def __init__(self, run: RunDir, first: int = 1) -> None:
        self._run, self._first, self.connections = run, first, dict[int, Any]()
        self.gone: set[int] = set()

    def room(self) -> int:
        return 2

    def start(self, number: int, address: tuple[str, int], key: bytes, job: dict[str, Any]) -> None:
        if number > self._first:
            self.gone.add(number)
            return
        threading.Thread(target=self.play, args=(number, address, key), daemon=True).start()

    def play(self, number: int, address: tuple[str, int], key: bytes) -> None:
        self.connections[number] = Client(address, authkey=key)
        line = Line(self.connections[number])
        line.send(worker=number)
        line.send(ready=True)
        with contextlib.suppress(Gone):
            while True:
                shard = self._run.shards()[line.receive()["shard"]]
                if self.falls_silent(number):
                    return
                time.sleep(0.5)
                file_of(self._run, shard).write_text("done\n")
                line.send(finished=True, cpu_seconds=0.0)

    def falls_silent(self, number: int) -> bool:
        return False

    def ended(self, number: int) -> str | None:
        return "its GPU is broken" if number in self.gone else None

    def stop(self, number: int) -> None:
        pass

    def close(self) -> None:
        pass


def drive(run: RunDir, places: Places) -> None:
    todo = work(run)
    with run.stage("rollout"), Progress(12, "prompts", "work") as progress:
        Driver(run, todo, Desk(run.shards(), todo.done), progress, places)()


def test_a_place_where_no_worker_starts_does_not_end_the_work_of_the_others(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver, "LAST_WORDS", 0.0)
    monkeypatch.setattr(driver, "LOOKS", 0.2)
    drive(run, Places(run))
    assert done(run) == [1] * 6
    words = "work: 3 workers in a row could not be started; the last one: its GPU is broken; 1 worker goes on"
    assert capsys.readouterr().err.count(words) == 1


class Network(Places):
    """Worker 1's machine is switched off with a shard: its connection stays open, and says nothing."""

    def falls_silent(self, number: int) -> bool:
        if number == 1:
            self.gone.add(1)
        return number == 1


def test_a_worker_whose_machine_is_switched_off_is_lost_though_its_connection_stays_open(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LAST_WORDS", 0.0)
    drive(run, Network(run, first=9))
    assert done(run) == [1] * 6


@pytest.mark.parametrize(("way", "kind"), [("input", InputError), ("run", RunError)])
def test_an_error_that_every_worker_would_meet_ends_the_stage_at_once(run: RunDir, way: str, kind: type) -> None:
    with pytest.raises(kind, match="it has moved|gradients are bad"):
        execute_work(run, fails={str(shard): [way] for shard in range(6)})
    assert sum(done(run)) < 6


def test_workers_that_cannot_start_are_an_error_that_says_why(run: RunDir) -> None:
    with pytest.raises(RunError, match="3 workers in a row could not be started; .*RuntimeError: no such model"):
        execute_work(run, fails={"start": ["no such model"]})


def test_a_worker_that_sees_another_run_directory_is_refused(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunDir, "fingerprint", lambda run, stage: "another")
    with pytest.raises(
        InputError, match="has other settings here than where the stage was started; .* a file system that all share"
    ):
        execute_work(run)


def test_a_stranger_that_says_nothing_or_the_wrong_thing_keeps_no_worker_out(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, strangers = Processes.start, list[socket.socket]()

    def start(self: Processes, number: int, address: tuple[str, int], *others: Any) -> None:
        for words in (b"", b"\0\0\0\x05hello", b"GET / HTTP/1.1\r\n\r\n"):
            strangers.append(socket.create_connection(address))
            strangers[-1].sendall(words)
        begin(self, number, address, *others)

    monkeypatch.setattr(Processes, "start", start)
    execute_work(run)
    assert done(run) == [1] * 6
    for stranger in strangers:
        stranger.close()
