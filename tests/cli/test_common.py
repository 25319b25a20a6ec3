"""Errors of commands: one message, one exit code."""

from __future__ import annotations

import pytest

from learnalign_cli.common import DEBUG, guarded


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
