"""Workers as tasks of a Ray cluster. Ray only places and ends them; shards are given as to processes of this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal

from learnalign.config import ExecutorConfig
from learnalign.errors import InputError, RunError, one_line
from learnalign.executor.serving import serve

ASKS = 5.0  # seconds between two looks at how large the cluster is


class Cluster:
    """The cluster at `executor.address`, or one of this machine that ends with the command; it may grow and shrink meanwhile."""

    counts_cpu = False

    def __init__(self, settings: ExecutorConfig, gpus: int) -> None:
        devices = ray_devices(settings)
        address = settings.address or os.environ.get("RAY_ADDRESS")
        if not address:
            _let_in_only_us()
        import ray

        self._ray, self._devices, self._gpus = ray, devices, gpus
        self._ours = not ray.is_initialized()
        if self._ours:
            self._connect(address)
        self.host: str = ray.util.get_node_ip_address()
        self._tasks: dict[int, Any] = {}
        self._room, self._asked = 0, -ASKS

    def _connect(self, address: str | None) -> None:
        own: dict[str, Any] = {"include_dashboard": False}
        try:
            if address and address != "auto":
                _knock(address)
            with _own_handlers():
                self._ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, **({} if address else own)
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(
                f"no Ray cluster at {address or 'this machine'}: {one_line(error, 300)}; give HOST:PORT of its head by "
                "executor.address or RAY_ADDRESS, and run the command on a machine of the cluster; or start one with `ray start --head`"
            ) from error

    def room(self) -> int:
        if self._devices != "auto":
            return self._devices
        if (now := time.monotonic()) - self._asked >= ASKS:
            with self._reached():
                nodes = [node for node in self._ray.nodes() if node["Alive"]]
            gpus = sum(int(node["Resources"].get("GPU", 0)) // self._gpus for node in nodes)
            self._room, self._asked = gpus or len(nodes), now
        return self._room

    def start(self, number: int, address: tuple[str, int], key: bytes, job: dict[str, Any]) -> None:
        with self._reached():
            gpus = self._gpus if self._ray.cluster_resources().get("GPU") else 0
            task = self._ray.remote(serve).options(max_retries=0, num_gpus=gpus, num_cpus=1)
            self._tasks[number] = task.remote(address, key, number, job)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Raise RunError if the cluster's head has gone."""
        try:
            yield
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise RunError(
                f"the Ray cluster does not answer any more: {one_line(error, 300)}; what is stored stays: when the cluster is there "
                "again, run the same command again"
            ) from error

    def ended(self, number: int) -> str | None:
        task = self._tasks[number]
        if not self._ray.wait([task], timeout=0)[0]:
            return None
        try:
            self._ray.get(task)
        except Exception as error:
            return one_line(error, 500)
        return "its task ended"

    def stop(self, number: int) -> None:
        self._ray.cancel(self._tasks.pop(number), force=True)

    def close(self) -> None:
        for number in list(self._tasks):
            self.stop(number)
        if self._ours:
            self._ray.shutdown()


def ray_devices(settings: ExecutorConfig) -> Literal["auto"] | int:
    """`executor.devices`, which cannot be GPUs by number here; raises InputError also if Ray is not installed."""
    if find_spec("ray") is None:
        raise InputError(
            "executor.kind: ray is not installed; install it with `pip install 'learnalign[ray]'`, or work on this machine: "
            "--set executor.kind=local"
        )
    if isinstance(settings.devices, list):
        raise InputError(
            f"executor.devices {settings.devices}: GPUs by number are those of one machine; with executor.kind: ray give a number "
            "of workers, or auto"
        )
    return settings.devices


def _let_in_only_us() -> None:
    """Give a cluster that this process starts a token of its own: Ray listens on every interface, and runs what it is sent."""
    if "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:  # which reads them when it is imported
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT, ValueError if that is none: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in host:
        raise ValueError("it is not HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this process's answer to signals: Ray puts its own in their place."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
