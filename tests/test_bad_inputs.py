"""Wrong pools and settings: one line that says what is wrong, or rows left out whose counts add up; never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from learnalign.errors import LONGEST
from learnalign_cli.app import app
from tests.torture.bad_inputs import POOLS, SETTINGS, Pool, Settings, put


def dry_run(tmp_path: Path, config: str, overrides: list[str]) -> Result:
    sets = [word for override in overrides for word in ("--set", override)]
    command = ["run", str(tmp_path / "run"), "--config", config, *sets, "--dry-run", "--json"]
    return CliRunner().invoke(app, command)


def refused(result: Result, words: str, tmp_path: Path) -> None:
    """Exit code 2 and one line with these words; nothing is written."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output or result.exception
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("Warning: ")]
    assert words in line
    assert line.isprintable()
    assert len(line) <= LONGEST + len("learnalign: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_a_bad_pool_is_one_line_or_its_counts_add_up(pool: Pool, tmp_path: Path) -> None:
    put(tmp_path / pool.file, pool.content)
    sections: dict[str, Any] = {"model": {"name": "demo"}, "data": {"path": str(tmp_path / pool.file)}}
    sections |= {"warmup": {"size": 0}, "select": {"size": 1}}
    (tmp_path / "config.yaml").write_text(json.dumps(sections))
    result = dry_run(tmp_path, str(tmp_path / "config.yaml"), list(pool.options))
    if isinstance(pool.expected, str):
        refused(result, pool.expected, tmp_path)
        return
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert (plan["prompts"], plan["left_out"]) == pool.expected
    assert plan["rows"] == sum(pool.expected)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_bad_settings_are_one_line(settings: Settings, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    if settings.yaml is not None:
        put(config, settings.yaml)
    result = dry_run(tmp_path, "demo" if settings.yaml is None else str(config), list(settings.overrides))
    refused(result, settings.expected, tmp_path)
