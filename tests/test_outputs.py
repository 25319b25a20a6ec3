"""`-o` writes through devices, pipes and links, replaces files whole, and never a run directory's own file or an input."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from learnalign.errors import InputError, RunError
from learnalign.outputs import check_output, open_output
from tests.selection.measured import measured_run

ROW = json.dumps({"completion": r"\boxed{2}", "answer": "2"}) + "\n"


def write(path: Path, content: bytes = b"new\n") -> None:
    check_output(path)
    with open_output(path) as file:
        file.write(content)


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run `command`, in which LEARNALIGN is the command line."""
    command = command.replace("LEARNALIGN", f"{sys.executable} -m learnalign_cli")
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")
    with pytest.raises(ZeroDivisionError), open_output(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "old\n"
    write(path)
    assert path.read_text() == "new\n"
    assert os.listdir(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, exists: bool) -> None:
    target, link, second = tmp_path / "target", tmp_path / "link", tmp_path / "second"
    if exists:
        target.write_text("old\n")
    link.symlink_to(target.name)
    second.symlink_to(link.name)
    write(second)
    assert link.is_symlink()
    assert second.is_symlink()
    assert target.read_text() == "new\n"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        received: list[bytes] = []
        reader = threading.Thread(target=lambda into=received: into.append(pipe.read_bytes()))
        reader.start()
        write(path)
        reader.join()
        assert received == [b"new\n"]
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_a_device_is_written_into_and_stays(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write(link)
    write(Path("/dev/null"))
    assert link.is_symlink()
    assert Path("/dev/null").is_char_device()


def test_a_full_device_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(RunError, match="/dev/full: no space left"):
        write(Path("/dev/full"))


def test_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for path, words in {
        tmp_path: "is a directory",
        Path(""): "is a directory",
        tmp_path / "none" / "x": "no directory",
        tmp_path / "circle": "circle",
    }.items():
        with pytest.raises(InputError, match=words):
            check_output(path)


def test_a_run_directorys_own_files_and_inputs_are_refused(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    link = tmp_path / "link.jsonl"
    link.symlink_to(run.prompts_file)
    names = (
        "prompts.parquet",
        "config.yaml",
        "run.json",
        "subset.jsonl",
        "subset-random.jsonl",
        "gradients/x",
        ".lock",
    )
    (run.path / "train" / "a").mkdir(parents=True)
    for path in (link, run.path / "train" / "a" / "x", *(run.path / name for name in names)):
        with pytest.raises(InputError, match="run directory's own"):
            check_output(path)
    check_output(run.path / "mine.jsonl")
    inside = run.path / "stage-1"
    inside.mkdir()
    for name in ("config.yaml", "run.json"):
        (inside / name).write_text("{}")
    check_output(inside / "chosen.jsonl")
    with pytest.raises(InputError, match="run directory's own"):
        check_output(inside / "prompts.parquet")
    source = tmp_path / "pool.jsonl"
    source.write_text("{}")
    for path in (source, tmp_path / "." / "pool.jsonl"):
        with pytest.raises(InputError, match="reads"):
            check_output(path, [source])


@pytest.mark.parametrize(
    ("output", "chosen"),
    [
        ("- | cat", "chosen"),
        *(
            pytest.param(*more, marks=pytest.mark.slow)
            for more in (
                ("/dev/stdout > out; cat out", "chosen"),
                ("/dev/fd/1 | cat", "chosen"),
                (">(cat > copy) >/dev/null; wait; sleep 0.3; cat copy", ""),
            )
        ),
    ],
)
def test_select_writes_to_standard_output_alone(tmp_path: Path, output: str, chosen: str) -> None:
    run = measured_run(tmp_path)
    result = shell(tmp_path, f"LEARNALIGN select run -n 3 -o {output}")
    assert result.stdout == run.subset_file("learnalign").read_text()
    assert chosen in result.stderr


@pytest.mark.slow
def test_standard_output_is_refused_beside_json(tmp_path: Path) -> None:
    measured_run(tmp_path)
    refused = shell(tmp_path, "LEARNALIGN select run -n 3 -o - --json")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    result = shell(tmp_path, "LEARNALIGN config --json | head -c 10")
    assert (len(result.stdout), result.stderr) == (10, "")


def test_verify_writes_over_its_own_file_and_into_pipes(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(ROW, encoding="utf-8")
    piped = shell(tmp_path, "LEARNALIGN verify rows.jsonl -o /dev/stdout | cat")
    assert json.loads(piped.stdout)["reward"] == 1.0
    assert shell(tmp_path, "LEARNALIGN verify rows.jsonl -o rows.jsonl").returncode == 0
    assert file.read_text(encoding="utf-8") == piped.stdout
    refused = shell(tmp_path, "LEARNALIGN verify rows.jsonl -o .")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
