"""What a run directory holds, compared byte by byte but for the wall-clock times in records."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

LISTS = ("run.json", ".run.json", "manifest.jsonl", "config.yaml", "staged.json")  # what every command may rewrite
TIMES = ("step_time",)


def files(run: Path) -> dict[str, Path]:
    """All files by their path in the run directory, without locks and what is half-made."""
    paths = {str(path.relative_to(run)): path for path in sorted(run.rglob("*")) if path.is_file()}
    return {name: path for name, path in paths.items() if path.name != ".lock" and not _is_half_made(name)}


def _is_half_made(name: str) -> bool:
    parts = name.split("/")
    return "gradients/exact/" in name or any(
        part in ("work", ".next", ".parts") or is_temporary(part) for part in parts
    )


def is_temporary(name: str) -> bool:
    """Whether a writer names a half-written file or directory like this (safetensors: .tmpXXXXXX)."""
    return name.endswith(".tmp") or name.startswith(".tmp")


def content(path: Path) -> bytes:
    """The bytes that must be the same in every run: without times, and of a record the stages' states and counts."""
    raw = path.read_bytes()
    try:
        if path.name == "manifest.jsonl":
            return b""
        if path.name == "report.html":
            return re.sub(rb"\d{4}-\d\d-\d\d \d\d:\d\d UTC", b"", raw)
        if path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in raw.splitlines()]
            rows = [{key: value for key, value in row.items() if key not in TIMES} for row in rows]
            return json.dumps(rows, sort_keys=True).encode()
        if path.name in ("run.json", ".run.json"):
            stages = json.loads(raw)["stages"]
            return repr(sorted((name, stage["status"], stage.get("counts")) for name, stage in stages.items())).encode()
    except (ValueError, KeyError, TypeError):
        pass
    return raw


def differences(expected: Path, actual: Path, without: Collection[str] = ()) -> list[str]:
    """Files that are missing, new or other than expected; those named in `without` do not count."""
    wanted, present = files(expected), files(actual)
    problems = []
    for name in sorted((set(wanted) | set(present)) - set(without)):
        if name not in present:
            problems.append(f"{name} is missing")
        elif name not in wanted:
            problems.append(f"{name} should not be there")
        elif content(wanted[name]) != content(present[name]):
            problems.append(f"{name} has other bytes")
    return problems[:5] + ([f"{len(problems) - 5} more files"] if len(problems) > 5 else [])


def broken(run: Path, *states: Path, without: Collection[str] = ()) -> list[str]:
    """Files that are in none of the `states`: wrong bytes under a final name. Records may be in between."""
    known = [files(state) for state in states]
    return [
        f"{name} is neither old nor new"
        for name, path in files(run).items()
        if name not in without
        and path.name not in LISTS
        and not any(name in state and content(state[name]) == content(path) for state in known)
    ]


def lost(before: Path, run: Path) -> list[str]:
    """Files of `before`, records excepted, that are missing or changed."""
    present = files(run)
    return [
        f"{name} is lost"
        for name, path in files(before).items()
        if path.name not in LISTS and (name not in present or content(path) != content(present[name]))
    ]


def leftovers(run: Path) -> list[str]:
    """What a command that ended well must not leave."""
    paths = [path for path in run.rglob("*") if path.name == ".next" or is_temporary(path.name)]
    return [f"{path.relative_to(run)} is left over" for path in paths[:3]]
