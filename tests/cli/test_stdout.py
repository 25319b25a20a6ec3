"""With --json, stdout has one JSON value, whatever libraries and other processes print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = """
import os, sys
from pathlib import Path
from learnalign.outputs import is_stdout
from learnalign_cli.common import guarded, print_json

def command(as_json):
    print("a library")
    os.write(1, b"its code\\n")
    os.system("echo its process")
    print_json({"output": len(sys.argv) > 1 and is_stdout(Path(sys.argv[1]))})
    print("later")

guarded(command)(as_json=True)
"""
RESULT = '{\n  "output": false\n}\n'


def _command(*arguments: str, shell: str = "", text: str = COMMAND) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", text, *arguments]
    if shell:
        command = ["bash", "-c", f'set -o pipefail; "$@" {shell}', "bash", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_only_the_result_is_on_stdout() -> None:
    done = _command()
    assert (done.returncode, done.stdout) == (0, RESULT)
    assert sorted(done.stderr.splitlines()) == ["a library", "its code", "its process", "later"]


def test_without_json_everything_is() -> None:
    done = _command(text=COMMAND.replace("as_json=True", "as_json=False"))
    assert done.stdout.endswith(f"{RESULT}later\n")
    assert done.stderr == ""


def test_the_file_behind_stdout_is_known_still(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with path.open("w") as file:
        subprocess.run([sys.executable, "-c", COMMAND, str(path)], stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert path.read_text() == RESULT.replace("false", "true")


def test_its_names_are_known_still() -> None:
    assert all(_command(name).stdout == RESULT.replace("false", "true") for name in ("/dev/stdout", "/dev/fd/1"))
    assert _command("/dev/stderr").stdout == RESULT


def test_a_closed_stream_or_pipe_is_no_fault() -> None:
    done = _command(shell=">&-", text=COMMAND.replace("os.write", "print"))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    done = _command(shell="2>&-")
    assert done.stdout.endswith(RESULT + "later\n")
    done = _command(shell="| sleep 0", text=COMMAND.replace("print_json(", "import time; time.sleep(1); print_json("))
    assert (done.returncode, RESULT in done.stderr, "Traceback" in done.stderr) == (1, False, False)
