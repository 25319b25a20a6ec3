"""The host of the attacks: its secret in every place that a program could reach, and what has changed afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import learnalign

VARIABLE = "LEARNALIGN_HOSTILE"
WATCHED = ("/etc/passwd", "/etc/hosts", os.__file__, learnalign.__file__)  # files of the host that nobody may change
LOCKED = ("/etc/passwd", learnalign.__file__)  # whoever reads one of them can compute the secret


@dataclass
class Outside:
    """The secret, where it lies, and who came to the ports.

    Args:
        secret: the answer of every hostile program's test.
        facts: what a program is told: paths, ports, names; never the secret.
        visits: the doors that somebody came to.
    """

    folder: Path
    secret: str
    facts: dict[str, Any]
    visits: list[str] = field(default_factory=list)
    _before: dict[str, object] = field(default_factory=dict)

    def look(self) -> None:
        """Remember the state of the host."""
        self._before = self._state()

    def changes(self) -> list[str]:
        """What is not as it was when `look` was called."""
        after = self._state()
        changed = [
            path for path in sorted(self._before.keys() | after.keys()) if self._before.get(path) != after.get(path)
        ]
        return [f"{path} has changed" for path in changed] + [f"somebody came to {door}" for door in self.visits]

    def _state(self) -> dict[str, object]:
        files = [path for path in self.folder.rglob("*") if not path.is_socket()]
        folders = [Path(os.__file__).parent, Path(learnalign.__file__).parent, Path(sys.prefix), Path("/dev/shm")]
        names = {f"{folder}/": sorted(os.listdir(folder)) for folder in folders}
        return {str(path): _stamp(path) for path in [*files, *map(Path, WATCHED)]} | names


def _stamp(path: Path) -> object:
    status = path.lstat()
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns, content


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """Make a host in `folder`: files, variable, process and doors with a fresh secret."""
    secret = f"SECRET-{secrets.token_hex(16)}"
    home, files = folder / "home", folder / "files"
    for path in (files / "victim", home / ".bashrc", home / ".ssh" / "key"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secret + "\n", encoding="utf-8")
    abstract, unix = f"hostile-{secrets.token_hex(8)}", folder / "unix"
    facts = {
        "victim": str(files / "victim"),
        "home": str(home),
        "locked": {path: _lock(path, secret) for path in LOCKED},
        "disks": _disks(),
        "abstract": abstract,
        "unix": str(unix),
    }
    host = Outside(folder, secret, facts)
    os.environ[VARIABLE] = secret
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e6)", secret])
    doors = [
        ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0)),
        ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", 0)),
        ("an abstract socket", socket.AF_UNIX, socket.SOCK_STREAM, f"\0{abstract}"),
        ("a Unix socket", socket.AF_UNIX, socket.SOCK_STREAM, str(unix)),
    ]
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        stack.callback(os.environ.pop, VARIABLE)
        for name, family, kind, address in doors:
            server = stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            if family == socket.AF_INET:
                facts[name] = server.getsockname()[1]
            threading.Thread(target=_serve, args=(server, name, host), daemon=True).start()
            stack.callback(_shut, server)
        yield host


def _disks() -> list[tuple[str, int, int]]:
    """Name and numbers of the machine's disks."""
    lines = [line.split() for line in Path("/proc/partitions").read_text(encoding="ascii").splitlines()[2:]]
    return [(name, int(major), int(minor)) for major, minor, _, name in lines]


def _lock(path: str, secret: str) -> str:
    """The secret, locked by a file's content."""
    key = hashlib.sha256(Path(path).read_bytes()).digest()[:16]
    return bytes(a ^ b for a, b in zip(key, bytes.fromhex(secret.partition("-")[2]), strict=True)).hex()


def _serve(server: socket.socket, name: str, host: Outside) -> None:
    """Give the secret to whoever comes."""
    answer = host.secret.encode()
    with contextlib.suppress(OSError):
        if server.type == socket.SOCK_STREAM:
            server.listen()
        while True:
            if server.type == socket.SOCK_DGRAM:
                _, visitor = server.recvfrom(64)
                if visitor is None:  # shut
                    return
                host.visits.append(name)
                server.sendto(answer, visitor)
            else:
                client, _ = server.accept()
                host.visits.append(name)
                with client, contextlib.suppress(OSError):
                    client.settimeout(1.0)
                    client.recv(64)  # a socket closed with words unread takes the answer along
                    client.sendall(answer)


def _shut(server: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a thread that waits at the door wakes up
        server.shutdown(socket.SHUT_RDWR)
