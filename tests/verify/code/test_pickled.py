"""LiveCodeBench's private tests: one text is read, and nothing is ever unpickled."""

from __future__ import annotations

import base64
import io
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from learnalign.verify.code import pickled
from learnalign.verify.code.cases import BadTests
from learnalign.verify.code.pickled import read_pickled_text

TEXT = '[{"input": "1\\n", "output": "ü 😀 \\\\u0041", "testtype": "stdin"}]' * 2000


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["", "x", "a\nb", TEXT])
def test_a_text_of_any_protocol_is_read(protocol: int, text: str) -> None:
    assert read_pickled_text(packed(pickle.dumps(text, protocol=protocol))) == text


class Touches:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _hostile(path: Path) -> dict[str, bytes]:
    call = pickle.dumps(Touches(path))
    return {
        "a call": call,
        "a call of protocol 0": pickle.dumps(Touches(path), protocol=0),
        "a text, then a call": pickle.dumps("x")[:-1] + call,
        "a text popped, a call left": b"\x80\x04\x8c\x01x0" + call[2:],
        "a list of the text": pickle.dumps(["x"]),
        "bytes": pickle.dumps(b"x"),
        "a number": pickle.dumps(7),
        "None": pickle.dumps(None),
        "two texts": b"\x80\x04\x8c\x01x\x8c\x01y.",
        "the text twice": b"\x80\x04\x8c\x01x\x94h\x00.",
        "a persistent id": b"Psomething\n.",
        "a global": b"cos\nsystem\n.",
        "an extension": b"\x80\x02\x82\x01.",
        "a class": b"(ios\nsystem\n.",
        "no stop": b"\x80\x04\x8c\x01x",
        "only a stop": b".",
        "nothing": b"",
        "no pickle": b"[1, 2]",
        "a text longer than the data": b"\x80\x04X" + struct.pack("<I", 1 << 31) + b"x.",
        "a text of 2^63 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 63) + b"x.",
        "memo at 2^31": b"\x80\x02X\x01\x00\x00\x00xr\xff\xff\xff\x7f0.",
        "many marks": b"(" * 100_000 + b".",
        "bad UTF-8": b"\x80\x04\x8c\x02\xff\xfe.",
    }


@pytest.mark.parametrize("name", _hostile(Path("x")))
def test_any_other_pickle_is_refused_and_not_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    with pytest.raises(BadTests):
        read_pickled_text(packed(_hostile(path)[name]))
    assert not path.exists()


def test_the_hostile_call_would_work_if_it_were_unpickled(tmp_path: Path) -> None:
    pickle.load(io.BytesIO(_hostile(tmp_path / "made")["a call"]))
    assert (tmp_path / "made").exists()


def test_a_memo_of_any_size_costs_nothing() -> None:
    assert read_pickled_text(packed(b"\x80\x02X\x01\x00\x00\x00xr\xff\xff\xff\x7f.")) == "x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "é",
        "no base64!",
        base64.b64encode(b"not zlib").decode(),
        base64.b64encode(zlib.compress(b"x" * 99)[:-4]).decode(),
    ],
)
def test_what_is_not_packed_is_refused(text: str) -> None:
    with pytest.raises(BadTests):
        read_pickled_text(text)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(pickle.dumps("x" * 10_000_000))
    assert len(read_pickled_text(bomb)) == 10_000_000
    monkeypatch.setattr(pickled, "LONGEST", 1_000_000)
    with pytest.raises(BadTests, match="more than"):
        read_pickled_text(bomb)
