"""The `vllm` engine: vLLM's offline engine in processes of its own, one for each data-parallel replica.

They end with the `with` block (and by themselves if this process dies), which frees the GPU's memory; their output goes
to a file that is read only if one fails.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from types import TracebackType
from typing import IO, Any, Self

from learnalign.config import Config
from learnalign.errors import WorkerError
from learnalign.isolation import python
from learnalign.policy import is_adapter
from learnalign.progress import Advance, unseen
from learnalign.rollouts.engines.contract import Completion, Request, Sampling, check_lengths, stop_ids
from learnalign.rollouts.engines.vllm_settings import engine_arguments, environment, explain

START_LIMIT = 3600.0  # seconds to load, and on a GPU to compile, a model
SILENCE_LIMIT = 600.0  # seconds without a sign of life after which a replica has stalled
END_LIMIT = 30.0  # seconds to end by itself


class VllmEngine:
    """Samples from the model or adapter at `path`; a context manager that starts and ends vLLM's processes."""

    name = "vllm"

    def __init__(self, config: Config, path: str, max_length: int | None = None) -> None:
        self._config, self._path, self._max_length = config, path, max_length

    def __enter__(self) -> Self:
        arguments = engine_arguments(self._config, self._path, self._max_length)
        replicas = int(arguments.pop("data_parallel_size", 1))
        options = {
            "arguments": arguments,
            "adapter": self._path if is_adapter(self._path) else None,
            "stop": sorted(stop_ids(self._config, self._path)),
            "per_sample": self._config.rollout.vllm_seeds == "per-sample",
        }
        with ExitStack() as stack:
            self._replicas = [
                stack.enter_context(Replica(_of_replica(options, i), environment(arguments, i, replicas)))
                for i in range(replicas)
            ]
            limits = [replica.wait_until_ready() for replica in self._replicas]
            self.context_length: int = min(longest for longest, _ in limits)
            # Twice what it works on: as many again wait for a place while the next shard is prepared.
            self.wanted: int = 2 * sum(rows for _, rows in limits)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, ended: Advance = unseen
    ) -> dict[str, list[Completion]]:
        """See `Engine.generate`. Raises RunError with vLLM's last error if it fails."""
        check_lengths(requests, self.context_length)
        count = len(self._replicas)
        by_length = sorted(requests, key=lambda request: -len(request.prompt_ids))
        shares = [(replica, by_length[i::count]) for i, replica in enumerate(self._replicas)]
        with ThreadPoolExecutor(count) as threads:
            try:
                answers = list(threads.map(lambda share: share[0].generate(share[1], sampling, ended), shares))
            except BaseException:
                for replica in self._replicas:
                    replica.kill()  # else the threads, for which the pool waits, would go on
                raise
        merged = {id: completions for answer in answers for id, completions in answer.items()}
        return {request.id: merged[request.id] for request in requests}


def _of_replica(options: dict[str, Any], number: int) -> dict[str, Any]:
    """The options with an engine's seed of its own."""
    arguments = options["arguments"]
    return {**options, "arguments": {**arguments, "seed": (arguments["seed"] or 0) + number}}


class Replica:
    """One vLLM process and the socket to it."""

    def __init__(self, options: dict[str, Any], environment: dict[str, str]) -> None:
        self._options, self._environment = options, environment
        self._ready = False
        self._numbers, self._sending = itertools.count(), threading.Lock()
        self._jobs: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="learnalign-vllm-")
        ours, theirs = socket.socketpair()
        with theirs:
            command = python("-m", "learnalign.rollouts.engines.vllm_child", str(theirs.fileno()))
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=self._environment,
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._send(self._options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask the process to end and wait; kill it and its children if it does not, or after an error."""
        if self._ready and error is None and self._process.poll() is None:
            with suppress(OSError, subprocess.TimeoutExpired):
                self._connection.send_bytes(b"{}")
                self._process.wait(END_LIMIT)
        self.kill()
        self._connection.close()
        self._log.close()

    def kill(self) -> None:
        """Kill the whole process group: a tensor-parallel engine has processes of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_until_ready(self) -> tuple[int, int]:
        """Returns the context length and how many completions it works on at once.

        Raises RunError with vLLM's last error and what to change if it cannot start.
        """
        try:
            if not self._connection.poll(START_LIMIT):
                raise self._failure(f"it was silent for {START_LIMIT:.0f} s")
            context_length, rows = json.loads(self._connection.recv_bytes())["ready"]
        except (EOFError, OSError):
            raise self._failure("its process ended") from None
        self._ready = True
        threading.Thread(target=self._hand_out, daemon=True).start()
        return int(context_length), int(rows)

    def _hand_out(self) -> None:
        """Give each message to the jobs that it is about; all learn that the process lives, or has ended."""
        while True:
            try:
                message: dict[str, Any] = json.loads(self._connection.recv_bytes())
            except (EOFError, OSError, ValueError):
                message = {"gone": True}
            for inbox in list(self._jobs.values()):
                inbox.put(message)
            if "gone" in message:
                self._ready = False
                return

    def generate(self, requests: Sequence[Request], sampling: Sampling, ended: Advance) -> dict[str, list[Completion]]:
        """Completions by request id, in the order of the seeds; several threads may ask at once."""
        number, inbox = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        groups: dict[str, dict[int, Completion]] = {request.id: {} for request in requests}
        job = [[request.id, list(request.prompt_ids), list(request.seeds)] for request in requests]
        self._jobs[number] = inbox
        try:
            self._send({"job": number, "sampling": asdict(sampling), "requests": job})
            while number not in (message := self._receive(inbox)).get("done", []):
                self._take(message, number, requests, groups, ended)
            self._take(message, number, requests, groups, ended)
        finally:
            del self._jobs[number]
        return {request.id: self._in_order(request, groups[request.id]) for request in requests}

    @staticmethod
    def _take(
        message: dict[str, Any],
        number: int,
        requests: Sequence[Request],
        groups: dict[str, dict[int, Completion]],
        ended: Advance,
    ) -> None:
        """Add the completions of this job."""
        own = [one for job, *one in message["ended"] if job == number]
        for request, sample, completion_ids, reason in own:
            groups[requests[request].id][sample] = Completion(completion_ids, reason)
        ended(len(own))

    def _in_order(self, request: Request, group: dict[int, Completion]) -> list[Completion]:
        for sample in range(len(request.seeds)):
            if sample not in group or group[sample].finish_reason not in ("stop", "length"):
                raise self._failure(f"it returned no completion for sample {sample} of prompt {request.id}")
        return [group[sample] for sample in range(len(request.seeds))]

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._sending:
                self._connection.send_bytes(json.dumps(message).encode())
        except OSError:
            raise self._failure("its process ended") from None

    def _receive(self, inbox: queue.SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
        try:
            message = inbox.get(timeout=SILENCE_LIMIT)
        except queue.Empty:
            raise self._failure(f"it was silent for {SILENCE_LIMIT:.0f} s") from None
        if "gone" in message:
            raise self._failure("its process ended")
        return message

    def _failure(self, what: str) -> WorkerError:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        return WorkerError(f"vLLM failed ({what}). {explain(text)}")


ENGINE = VllmEngine
