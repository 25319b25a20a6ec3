"""Hostile programs are real attacks: without a sandbox, those that do no harm get the secret."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.verify.code.hostile import HOSTILE, Hostile
from tests.verify.code.hostile.outside import Outside, outside

BARE = [hostile for hostile in HOSTILE if hostile.bare]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("host")) as host:
        yield host


def test_names_are_unique_and_there_are_forty_and_more() -> None:
    assert max(Counter(hostile.name for hostile in HOSTILE).values()) == 1
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("hostile", BARE, ids=lambda hostile: hostile.name)
def test_an_attack_gets_the_secret_without_a_sandbox(hostile: Hostile, host: Outside, tmp_path: Path) -> None:
    source = hostile.source(host.facts, host.secret)
    command = [sys.executable, "-c", source]
    if hostile.language == "cpp":
        if shutil.which("g++") is None:
            pytest.skip("no g++ here")
        (tmp_path / "a.cpp").write_text(source)
        built = subprocess.run(
            ["g++", "-o", tmp_path / "a", tmp_path / "a.cpp"], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
        command = [str(tmp_path / "a")]
    facts = json.dumps(host.facts) + "\n"
    done = subprocess.run(command, input=facts, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [host.secret], done.stderr
