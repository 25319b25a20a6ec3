"""`make test-trainers [ARGS="verl skyrl"]`: each trainer's own code loads our file, in an environment of its own.

The environments stand in .cache/trainers; each sees the packages of this one behind its own. A trainer whose packages cannot be
installed here is skipped with the reason, and so are those that are on no package index: their schemas are in test_formats.py,
with the version that was read in the docstring of their file in learnalign/handoff. TRL's trainer is in `make test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from learnalign.handoff import find_format
from learnalign.handoff.writing import write_rows
from tests.handoff.rows import chosen

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "trainers"
RAY = "ray>=2.41,<3 pylatexenc msgpack jsonschema jsonschema-specifications referencing rpds-py"
HYDRA = "omegaconf hydra-core antlr4-python3-runtime==4.9.3"
# What loading takes; most without what only training takes.
PACKAGES = {
    "verl": f"verl==0.9.1 {RAY} {HYDRA} codetiming tensordict torchdata pyvers importlib_metadata cloudpickle orjson cachetools",
    "openrlhf": f"openrlhf==0.11.2 {RAY} word2number",
    "skyrl": f"skyrl==0.3.0 {HYDRA} skyrl-gym loguru",
    "verifiers": "verifiers==0.4.0",
}
WITH_DEPENDENCIES = ("verifiers",)
NO_PACKAGE = ("open-instruct", "nemo-rl", "slime", "roll", "nemo-gym")


def main(wanted: list[str]) -> int:
    """The number of trainers whose code does not load our file."""
    failed = 0
    for name, packages in PACKAGES.items():
        if wanted and name not in wanted:
            continue
        python, problem = make_environment(name, packages.split())
        if problem:
            print(f"{name}: skipped: {problem}")
            continue
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        command = [str(python), "-m", f"tests.handoff.loaders.{name}", str(write_files(name))]
        result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        print("".join(f"{line}\n" for line in result.stdout.splitlines() if line.startswith(f"{name}")), end="")
        if result.returncode:
            failed += 1
            print(f"{name}: FAILED\n{result.stderr[-3000:]}")
    for name in NO_PACKAGE:
        if not wanted or name in wanted:
            print(f"{name}: skipped: on no package index; its schema is in tests/handoff/test_formats.py")
    return failed


def make_environment(name: str, packages: list[str]) -> tuple[Path, str]:
    """The interpreter of the trainer's environment, and why it cannot be had, if so."""
    folder = CACHE / name / "venv"
    python = folder / "bin" / "python"
    if (folder / "done").is_file():
        return python, ""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    lib = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (lib / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = [] if name in WITH_DEPENDENCIES else ["--no-deps"]
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, *packages]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        return python, (result.stderr.strip().splitlines() or ["pip failed"])[-1]
    (folder / "done").touch()
    return python, ""


def write_files(name: str) -> Path:
    """A folder with the trainer's files of the prompts of tests/handoff/rows.py."""
    folder, format = CACHE / name / "files", find_format(name)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in format.suffixes:
        with (folder / f"{name}{kind}").open("wb") as file:
            write_rows(file, format, format.rows(chosen()), kind)
    for suffix, text in format.beside(chosen(), f"{name}.jsonl").items():
        (folder / f"{name}{suffix}").write_text(text)
    return folder


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
