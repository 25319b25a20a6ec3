"""What is wrong with the files of a run directory and of those inside it, and what can be put back at once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from learnalign.config import NEXT, write_yaml
from learnalign.errors import InputError, RunError
from learnalign.rundir import files, replacing
from learnalign.rundir.lock import Lock
from learnalign.rundir.manifest import NAME as MANIFEST
from learnalign.rundir.manifest import Manifest, files_of, manifest_of, write_manifest
from learnalign.rundir.paths import url_of
from learnalign.rundir.stages import RECORDS, files_in, stage_of

_NAMELESS = "1"  # what run.json of an earlier version says of its manifest, which has no name


@dataclass(frozen=True)
class Problem:
    """A file of the run directory `root` that is missing or damaged; `stage` makes it, if one does."""

    root: Path
    file: str
    what: str
    stage: str | None

    @property
    def path(self) -> Path:
        return self.root / self.file


def run_directories(root: Path) -> list[Path]:
    """`root` and the run directories inside it: trainings, evaluations and their rounds, rounds of `--stages`."""
    inside = [
        path.parent
        for pattern in ("train/*", "eval/*", "eval/*/rounds/*", "stage-*", "stage-*/train/*", "stage-*/eval/*")
        for path in sorted(root.glob(f"{pattern}/run.json"))
    ]
    return [root, *(path for path in inside if NEXT not in path.parts)]


def find_problems(root: Path) -> list[Problem]:
    """Compare every file of `root`, and of the run directories inside it, with its digest."""
    return [problem for directory in run_directories(root) for problem in _problems(directory)]


def count_files(root: Path) -> int:
    """How many files have a digest."""
    manifests = (manifest_of(directory / MANIFEST) for directory in run_directories(root))
    return sum(len(each) for manifest in manifests if manifest for each in manifest.paths().values())


def _problems(root: Path) -> Iterator[Problem]:
    manifest = manifest_of(root / MANIFEST)
    if manifest is None:
        yield Problem(root, MANIFEST, "missing", None)
        return
    if is_foreign(root):
        yield Problem(root, MANIFEST, "that of another run directory, or without its beginning", None)
        return
    stored = manifest.paths()
    wrong = {file: what for path in stored for file, what in manifest.damage(path).items()}
    for number in manifest.damaged_lines:
        yield Problem(root, MANIFEST, f"line {number} damaged", None)
    if manifest.is_torn():
        yield Problem(root, MANIFEST, "its last line is cut off", None)
    for file, what in wrong.items():
        yield Problem(root, file, what, stage_of(file))
    if manifest.damaged_lines:  # what they spoke of has no digest
        for path in _unknown(root, manifest):
            yield Problem(root, path, "without a digest", stage_of(path))


def is_foreign(root: Path) -> bool:
    """Whether the manifest is not the one that run.json and its copy speak of: another run directory's, or without its beginning."""
    manifest = manifest_of(root / MANIFEST)
    if manifest is None or (
        not manifest.name and manifest.damaged_lines
    ):  # a damaged line may be the one with the name
        return False
    names = {_manifest_name(root / name) for name in RECORDS[:2]}
    return len(names) == 1 and names.isdisjoint({None, manifest.name or _NAMELESS})


def _manifest_name(record: Path) -> str | None:
    """The manifest that run.json, be it damaged or not, says is its own."""
    try:
        return str(json.loads(record.read_bytes())["manifest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def check_manifest(directory: Path) -> None:
    """Raise RunError if the manifest belongs to another run directory."""
    if is_foreign(directory):
        raise RunError(
            f"{directory / MANIFEST} is that of another run directory, or without its beginning; put the right one back, or have "
            f"the files taken as they are now with `learnalign status {shlex.quote(str(directory))} --repair`"
        )


def check_config(directory: Path) -> Path:
    """The path of config.yaml; raises InputError if there is no run directory, RunError if the file was changed."""
    replacing.end_interrupted(directory)
    check_manifest(directory)
    file = directory / "config.yaml"
    if not file.is_file():
        if (directory / "run.json").is_file():
            raise RunError(
                f"{file} is missing; `learnalign status {shlex.quote(str(directory))} --repair` makes it again"
            )
        raise InputError(no_run(directory))
    try:
        files.verified(file)
    except RunError:
        raise RunError(
            f"{file} was changed since it was written, by hand or by damage; take it as it is with --config {file}, or "
            f"put it back with `learnalign status {shlex.quote(str(directory))} --repair`"
        ) from None
    return file


def no_run(directory: Path) -> str:
    """What to say of a directory that is no run directory: what is there, and what makes one."""
    why = (
        "no config.yaml in it"
        if directory.is_dir()
        else "it is a file"
        if directory.exists()
        else "there is nothing of that name"
    )
    name = url_of(directory) or str(directory)
    command = f"learnalign run {shlex.quote(name)} --config FILE"
    return f"{name} is not a run directory ({why}); give that of a run, or make one with `{command}` (FILE: demo, to try it)"


def _unknown(root: Path, manifest: Manifest) -> list[str]:
    """Files that a stage may have made, but of which the manifest says nothing."""
    return [str(file.relative_to(root)) for file in files_in(root) if not manifest.expected(file)]


def put_back(root: Path) -> list[str]:
    """Put back manifest, run.json and config.yaml of one run directory from what else tells their content.

    Returns what was done, in words. Raises RunError if nothing is left to put run.json or config.yaml back from.
    """
    done: list[str] = []
    with Lock(root):
        manifest = manifest_of(root / MANIFEST)
        if manifest is None or is_foreign(root):
            stored = {str(file.relative_to(root)): files_of(file) for file in files_in(root)}
            write_manifest(root, stored, _manifest_name(root / RECORDS[0]))
            done.append(f"{root / MANIFEST}: made from the files as they are now")
        elif manifest.damaged_lines or manifest.is_torn():
            write_manifest(root, manifest.paths(), manifest.name or _manifest_name(root / RECORDS[0]))
            done.append(f"{root / MANIFEST}: damaged lines left out")
        done += _put_back_records(root)
    return done


def _put_back_records(root: Path) -> list[str]:
    record, copy, config = (root / name for name in RECORDS)
    done = []
    for broken, other in ((record, copy), (copy, record)):
        if files.is_intact(other) and not files.is_intact(broken):
            files.write_json(broken, files.read_json(other))
            done.append(f"{broken}: put back from {other.name}")
    if not files.is_intact(record):
        raise RunError(f"{record} and its copy {copy.name} are both damaged; run the stages in a new run directory")
    if not files.is_intact(config):
        settings = files.read_json(record).get("config")
        if settings is None:
            raise RunError(f"{config} is damaged, and {record.name} of an older version does not tell it; put it back")
        files.write_text(config, write_yaml(settings))
        done.append(f"{config}: put back from {record.name}")
    return done


def set_aside(problems: list[Problem]) -> list[Path]:
    """Rename what is to be made again, and drop its digests; returns the new names, to delete when that is done."""
    aside: list[Path] = []
    for problem in problems:
        manifest = manifest_of(problem.root / MANIFEST)
        assert manifest is not None, "put_back has made it"
        for path in [*(problem.root / own for own in manifest.within(problem.file)), problem.path]:
            with manifest.change(path, {}):
                if path.exists():
                    aside.append(path.with_name(f".{path.name}.damaged"))
                    files.put(path, aside[-1])
    return aside
