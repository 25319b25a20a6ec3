from pathlib import Path

import pytest

from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from tests.tiny import make_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """Of six shards, worked on by two processes that find the tests' workers."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    run = make_run(tmp_path, executor={"shard_size": 2, "devices": 2})
    load_prompts(run)
    return run
