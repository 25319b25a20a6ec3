"""The local copy of a remote run directory: where it is, what it holds, and what it held when it was last the same as the remote."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import xxhash

from learnalign.errors import RunError
from learnalign.rundir import files
from learnalign.rundir.checking import run_directories
from learnalign.rundir.manifest import ITSELF, manifest_bytes, manifest_of
from learnalign.rundir.manifest import NAME as MANIFEST
from learnalign.rundir.paths import COPIES, URL_FILE

CACHE = "LEARNALIGN_CACHE"  # variable that names the directory of local copies
STATE = "state.json"
Entry = tuple[int, str]  # size in bytes and digest


def cache_directory() -> Path:
    """Where local copies are: $LEARNALIGN_CACHE, else $XDG_CACHE_HOME/learnalign, else ~/.cache/learnalign."""
    if own := os.environ.get(CACHE):
        return Path(own).expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "learnalign"


class Copy:
    """The local copy of one URL: the run directory `root` in a folder of its own, with what is known of the remote beside it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.folder = cache_directory() / COPIES / hashlib.sha256(url.encode()).hexdigest()[:16]
        self.root = self.folder / PurePosixPath(url).name

    def load(self) -> None:
        """Read what was stored of it; the caller has the lock of its folder."""
        (self.folder / URL_FILE).write_text(self.url + "\n", "utf-8")
        stored = files.read_json(self.folder / STATE) if (self.folder / STATE).is_file() else {}
        self.id: str = stored.get("copy") or secrets.token_hex(8)
        self.synced: dict[str, Entry] = {
            path: (size, digest) for path, (size, digest) in stored.get("files", {}).items()
        }
        if not stored:
            self.save({})

    def save(self, synced: Mapping[str, Entry]) -> None:
        """Store that the remote holds `synced`, by the paths of its files."""
        self.synced = dict(synced)
        files.write_json(self.folder / STATE, {"copy": self.id, "files": self.synced})

    def snapshot(self) -> tuple[dict[str, Entry], dict[str, bytes]]:
        """Size and digest of every file that the manifests list, and of these; and the content of the manifests, all by path.

        A manifest counts as its entries: lines that later ones replaced are left out.
        """
        entries: dict[str, Entry] = {}
        manifests: dict[str, bytes] = {}
        for directory in run_directories(self.root):
            manifest = manifest_of(directory / MANIFEST) if (directory / MANIFEST).is_file() else None
            if manifest is None:
                continue
            inside = PurePosixPath(directory.relative_to(self.root))
            stored = dict(sorted(manifest.paths().items()))
            for path, each in stored.items():
                for own, entry in each.items():
                    entries[str(inside / path if own == ITSELF else inside / path / own)] = entry
            place = str(inside / MANIFEST)
            manifests[place] = manifest_bytes(stored, manifest.name)
            entries[place] = len(manifests[place]), xxhash.xxh3_128_hexdigest(manifests[place])
        return entries, manifests

    def set_aside(self) -> Path:
        """Move the run directory away, with all that is in it, and begin a new copy; returns where it is."""
        aside = self.folder / f"before-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}" / self.root.name
        aside.parent.mkdir()
        os.rename(self.root, aside)
        self.id = secrets.token_hex(8)
        self.save({})
        return aside


def check_path(url: str, path: str) -> None:
    """Raise RunError for a path, told by the remote, that would lead out of the run directory."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or path != str(PurePosixPath(path)):
        raise RunError(
            f"{url}: its list of files names {path!r}, which is no place in a run directory; nothing was read"
        )
