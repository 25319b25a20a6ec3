"""A file appears whole or not at all, and damage is noticed."""

import ctypes
import errno
import json
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from learnalign.errors import RunError
from learnalign.rundir import RunDir
from learnalign.rundir.files import (
    Buffer,
    atomic_path,
    disk_error,
    is_done,
    read_head,
    read_parquet,
    read_places,
    read_safetensors,
    remove_leftovers,
    write_json,
    write_parquet,
    write_safetensors,
)
from learnalign.rundir.files import content as content_module
from tests.rundir.writers import WRITERS
from tests.tiny import make_config

TABLE = pa.table({"id": ["a", "b"], "value": [1.0, None], "ids": [[1, 2], []]})
TENSORS = {"features": torch.randn(3, 4), "norms": torch.rand(3)}


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(KeyError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with atomic_path(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert os.listdir(tmp_path / "model") == ["new"]
    assert os.listdir(tmp_path) == ["model"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    script = (
        "import os, signal, sys; from pathlib import Path; from learnalign.rundir.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    code = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.json")], check=False).returncode
    assert code == -signal.SIGKILL
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}


def test_half_a_file_is_left_over_only_when_its_writer_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    script = (
        "import sys; from pathlib import Path; from learnalign.rundir.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); print(temporary.name, flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        (name,) = writer.stdout.readline().split()
        remove_leftovers(path)
        assert os.listdir(tmp_path) == [name]
        writer.kill()
    remove_leftovers(path)
    assert os.listdir(tmp_path) == []
    reused = tmp_path / f".a.json.{os.getpid()}-00000000.tmp"
    reused.touch()
    os.utime(reused, (0, 0))
    remove_leftovers(path)
    assert os.listdir(tmp_path) == [], "its number was given to a later process"


def test_tables_and_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", TABLE, "f1")
    write_safetensors(tmp_path / "t.safetensors", TENSORS, {"ids": "[1]"}, "f1")
    assert read_parquet(tmp_path / "t.parquet").equals(TABLE)
    tensors, metadata = read_safetensors(tmp_path / "t.safetensors")
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert metadata["ids"] == "[1]"


@pytest.mark.parametrize("name", ["t.parquet", "t.safetensors"])
def test_done_means_there_undamaged_and_of_these_settings(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert not is_done(path, "f1")
    if name.endswith("parquet"):
        write_parquet(path, TABLE, "f1")
    else:
        write_safetensors(path, TENSORS, {}, "f1")
    assert is_done(path, "f1")
    assert not is_done(path, "f2")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert not is_done(path, "f1")
    path.write_bytes(b"")
    assert not is_done(path, "f1")


def test_a_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_safetensors(path, TENSORS, {}, "f1")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    for read in (read_safetensors, lambda path: read_places(path, "features", Buffer())):
        with pytest.raises(RunError, match="damaged"):
            read(path)


def test_a_damaged_header_of_tensors_outside_of_a_run_directory_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_safetensors(path, TENSORS, {}, "f1")
    whole = path.read_bytes()
    refused = 0
    for at in range(8 + int.from_bytes(whole[:8], "little")):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 7]) + whole[at + 1 :])
        try:
            read_safetensors(path)  # its own metadata may have changed, which nothing tells there
        except RunError as error:
            refused += "t.safetensors is damaged" in str(error)
    assert refused > 100


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_all_files_may_be_read_by_those_the_umask_lets(umask: int, tmp_path: Path) -> None:
    code = """
import os, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from learnalign.rundir.files import atomic_path, write_json, write_safetensors
os.umask(int(sys.argv[1]))
tensors = {"x": torch.zeros(2)}
write_json(Path("a.json"), {})
write_safetensors(Path("a.safetensors"), tensors, {}, "f")
with atomic_path(Path("model")) as folder:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
"""
    subprocess.run([sys.executable, "-c", code, str(umask)], cwd=tmp_path, check=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name: path.stat().st_mode & 0o777 for path in files} == {
        name: 0o666 & ~umask for name in ("a.json", "a.safetensors", "model.safetensors")
    }


def test_an_array_is_read_again_from_its_place(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    stored = {"features": torch.randn(3, 4).half(), "none": torch.empty(0, 4), "norms": torch.rand(3)}
    write_safetensors(path, stored, {"ids": "[1]"}, "f1")
    head, arrays = read_places(path, "features", Buffer())
    places, before = head.places, read_head(path, "features", Buffer())
    assert before[0] == head
    assert set(before[1]) == {name for name, place in places.items() if place.start < places["features"].start}
    assert head.metadata["ids"] == "[1]"
    for name, tensor in stored.items():
        assert torch.equal(torch.from_numpy(arrays[name]), tensor)
        assert torch.equal(torch.from_numpy(places[name].read(Buffer())), tensor)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match="shorter"):
        places["norms"].read(Buffer())
    path.unlink()
    with pytest.raises(RunError, match="missing"):
        places["norms"].read(Buffer())


def test_files_are_read_to_memory_that_begins_with_a_page(tmp_path: Path) -> None:
    buffer = Buffer()
    for size in (1, 5000, 3, 200_000, 250_001):
        (tmp_path / "file").write_bytes(content := os.urandom(size))
        view = buffer.read(tmp_path / "file")
        assert view == content
        assert ctypes.addressof(ctypes.c_char.from_buffer(view)) % mmap.PAGESIZE == 0


def test_only_values_that_repeat_have_a_dictionary(tmp_path: Path) -> None:
    said = [[{"role": "user", "content": str(i)}] for i in range(3000)]
    columns = {"id": [str(i) for i in range(3000)], "p": [i % 9 / 8 for i in range(3000)], "said": said}
    write_parquet(tmp_path / "t.parquet", pa.table(columns), "f1")
    group = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0)
    stored = {group.column(i).path_in_schema: group.column(i).has_dictionary_page for i in range(group.num_columns)}
    inside = {"said.list.element.content": False, "said.list.element.role": True}
    assert stored == {"id": False, "p": True, **inside}
    assert read_parquet(tmp_path / "t.parquet").to_pydict() == columns


def test_a_flipped_bit_of_a_table_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(path, pa.table({"value": list(range(1000))}), "f1")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert not is_done(path, "f1")


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EDQUOT, errno.ESTALE, errno.ENOTCONN]
)
def test_a_disk_that_refuses_gives_a_way_out(number: int) -> None:
    assert isinstance(disk_error(Path("x"), OSError(number, "no")), RunError)


def test_a_write_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.rundir.writers", str(tmp_path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [*told] == [*WRITERS], "each is refused"
    assert {name: left for name, (_, left) in told.items() if left} == {}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_take_its_place_leaves_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises((OSError, RunError)):
        WRITERS[name](tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_file_that_another_process_replaces_while_it_is_read_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir.create(tmp_path / "run", make_config(tmp_path))
    run.record_inputs({"number": "1"})
    read = content_module.content_of

    def slowly(path: Path) -> bytearray:
        taken = read(path)
        monkeypatch.undo()
        run.record_inputs({"number": "2"})
        run.record_inputs({"number": "3"})
        return taken

    monkeypatch.setattr(content_module, "content_of", slowly)
    assert run.read_record()["inputs"] == {"number": "3"}
