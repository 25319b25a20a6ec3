"""Errors of commands: one message, one exit code."""

from __future__ import annotations

import pytest

from learnalign.names import METHODS
from learnalign_cli.common import DEBUG, guarded, print_table
from learnalign_cli.compare import _show_matrix


def broken() -> None:
    raise TypeError("one\ntwo" * 500)


def test_an_unexpected_error_is_one_line_that_asks_for_a_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(broken)()
    message = capsys.readouterr().err
    assert ended.value.code == 1
    assert message.startswith("learnalign: this is a bug in learnalign: TypeError: one two")
    assert f"({__file__}:{broken.__code__.co_firstlineno + 1}); " in message
    assert message.count("\n") == 1
    assert len(message) < 800
    monkeypatch.setattr("sys.argv", ["learnalign", DEBUG])
    with pytest.raises(TypeError):
        guarded(broken)()


def test_what_a_cell_holds_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["value", "n"], [["two\nlines \x1b[31m", 1]])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "two" in line]
    assert line.split() == ["two\\nlines", r"\x1b[31m", "1"]


def test_a_matrix_of_many_methods_breaks_no_name_and_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    names = [*METHODS, *(f"random-seed{seed}" for seed in range(12))]
    _show_matrix("overlap", {name: dict.fromkeys(names, 1.0) for name in names})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for number, name in enumerate(names, 1):
        values = [value for line in lines if line[:2] == [str(number), name] for value in line[2:]]
        assert values == ["100"] * len(names)
    assert [value for line in lines if line[1:] and all(map(str.isdigit, line)) for value in line] == [
        str(number) for number in range(1, len(names) + 1)
    ]


def test_a_long_name_stays_whole_beside_many_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        "", ["method", *(f"a long title {k}" for k in range(12))], [["learnability-of-seed-3", *[123.456] * 12]]
    )
    assert "learnability-of-seed-3" in capsys.readouterr().out
