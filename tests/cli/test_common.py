"""Errors of commands: one message, one exit code."""

from __future__ import annotations

import pytest

from learnalign_cli.common import DEBUG, guarded, print_table


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
    assert f"({__file__}:11); " in message
    assert message.count("\n") == 1
    assert len(message) < 800
    monkeypatch.setattr("sys.argv", ["learnalign", DEBUG])
    with pytest.raises(TypeError):
        guarded(broken)()


def test_what_a_cell_holds_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["value", "n"], [["two\nlines \x1b[31m", 1]])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "two" in line]
    assert line.split() == ["two\\nlines", r"\x1b[31m", "1"]
