"""`learnalign doctor`: what would stop a run fails here, with what to do; what would not passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import dump_config
from learnalign.doctor import doctor
from learnalign_cli.doctor import doctor as command
from tests.tiny import make_config


def write(folder: Path, **sections: Any) -> str:
    config = make_config(folder, **{"warmup": {"size": 0}, **sections})
    (folder / "c.yaml").write_text(dump_config(config))
    return str(folder / "c.yaml")


def test_a_config_that_works_passes_every_check_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, rollout={"engine": "transformers", "max_completion_length": 8})
    before = sorted(tmp_path.rglob("*"))
    command(config=config, as_json=True)
    told = json.loads(capsys.readouterr().out)
    checks = {check["check"]: check for check in told["checks"]}
    assert told["passed"]
    assert [*checks] == [
        *(
            "python",
            "torch",
            "vllm",
            "disk",
            "config",
            "model",
            "memory",
            "tokenizer",
            "pool",
            "lengths",
            "golds",
            "rollout",
        )
    ]
    assert {name for name, check in checks.items() if check["status"] != "pass"} <= {"torch", "vllm", "disk"}
    assert "sampled" in checks["rollout"]["seen"]
    assert sorted(tmp_path.rglob("*")) == before


def statuses(config: str, *overrides: str) -> dict[str, tuple[str, str]]:
    return {one.check: (one.status, f"{one.seen} {one.way}") for one in doctor(config, overrides)}


def test_faults_fail_with_what_to_do_and_the_later_checks_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"What is {i}?", "answer": f"It is so.\n#### {i}"} for i in range(12)]
    pool = tmp_path / "golds.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = (f"data.path={pool}", "data.prompt=question", "data.answer=answer", "data.id=null")
    config = write(tmp_path, rollout={"engine": "transformers", "max_completion_length": 8})
    found = statuses(config, *data)
    assert found["golds"][0] == "fail"
    assert "data.answer_regex: '####" in found["golds"][1]
    assert statuses(config, *data, r"data.answer_regex=####\s*(.+)")["golds"][0] == "pass"
    boxed = [{**row, "answer": rf"It is $\\boxed{{{i}}}$."} for i, row in enumerate(rows)]
    pool.write_text("".join(json.dumps(row) + "\n" for row in boxed))
    assert statuses(config, *data, "verifier=math")["golds"][0] == "pass", "as `run` has it: this verifier reads boxes"
    found = statuses(config, f"model.name={tmp_path}/none")
    assert (found["model"][0], found["tokenizer"][0], found["pool"][0]) == ("fail", "fail", "pass")
    assert "no such directory" in found["model"][1]
    assert "rollout" not in found
    found = statuses(config, "data.max_prompt_tokens=1")
    assert found["lengths"][0] == "fail"
    assert "raise data.max_prompt_tokens" in found["lengths"][1]
    assert [*statuses(config, "grad.dimm=1")] == ["python", "torch", "vllm", "disk", "config", "memory"]
    with pytest.raises(SystemExit) as ended:
        command(config=config, overrides=["grad.dimm=1"])
    assert ended.value.code == 1
    assert (
        "fail  config     --set grad.dimm=1: unknown key grad.dimm; did you mean grad.dim?" in capsys.readouterr().out
    )
