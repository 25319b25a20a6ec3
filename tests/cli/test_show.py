"""`learnalign show`: text that a policy wrote cannot reach the terminal as more than text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from learnalign.prompts import load_prompts
from learnalign.rollouts import import_rollouts
from learnalign_cli.app import app
from tests.tiny import make_run

HOSTILE = "\x1b[31mred\x07\x9b2J\u202egnol\u2066 [bold]no[/bold]\r:smile:\nsecond line"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show")
    run = make_run(folder)
    first, second, *_ = load_prompts(run)
    rows = [
        {"id": first.id, "completions": [HOSTILE, "x" * 5_000]},
        {"id": second.id, "completion": "12", "finish_reason": "length"},
    ]
    (folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_rollouts(run, folder / "given.jsonl")
    return run.path


def show(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["show", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_control_characters_and_markup_are_shown_as_text(directory: Path) -> None:
    code, text = show(directory, "--never")
    assert code == 0
    assert all(c == "\n" or c.isprintable() for c in text)
    assert all(part in text for part in ("\\x1b[31mred\\x07", "\\u202e", "[bold]no[/bold]\\r:smile:", "second line"))


def test_long_texts_are_cut_unless_all_is_asked_for(directory: Path) -> None:
    assert "characters left out]" in show(directory, "--never")[1]
    assert "left out" not in (full := show(directory, "--never", "--full")[1])
    assert full.count("x") > 5_000
    assert max(map(len, full.splitlines())) <= 120


def test_the_verdict_says_what_was_read_and_that_it_was_cut_off(directory: Path) -> None:
    text = show(directory, "--never")[1]
    assert "wrong, '12' is not '2', cut off" in text
    assert "p = 0 (0 of 1 correct)" in text


def test_json_has_every_text_whole(directory: Path) -> None:
    (first, second) = json.loads(show(directory, "--never", "--json")[1])
    assert [one["text"] for one in first["rollouts"]] == [HOSTILE, "x" * 5_000]
    assert first["rollouts"][0]["answer"] == HOSTILE.strip()
    assert second["rollouts"] == [
        {
            "sample": 0,
            "text": "12",
            "reward": 0.0,
            "finish_reason": "length",
            "reason": "'12' is not '2'",
            "answer": "12",
            "share_passed": None,
            "tokens": 2,
        }
    ]


def test_an_empty_kind_and_wrong_options_are_one_line(directory: Path) -> None:
    assert show(directory, "--always") == (0, "no prompt is always solved so far\n")
    code, text = show(directory, "--always", "--never")
    assert (code, text.count("\n")) == (2, 1)
    code, text = show(directory, "--id", "nothing\x1b")
    assert code == 2
    assert "the nearest is" in text
    assert "\x1b" not in text
