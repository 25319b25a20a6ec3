"""TRL and PEFT take seconds to import, so only a command that trains imports them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from learnalign.evaluation import evaluate
from learnalign.training import train, warmup
from tests.tiny import make_run

CODE = """
import sys
from learnalign import RunDir, evaluate, train, warmup

run = RunDir.open(sys.argv[1])
assert not warmup(run).trained
assert train(run, sys.argv[2]).steps == 1
assert evaluate(run, sys.argv[2], policy="base").questions == 4
print(sorted({"torch", "trl", "peft", "vllm"} & sys.modules.keys()))
"""


def test_skipped_and_finished_trainings_import_no_trainer(tmp_path: Path) -> None:
    settings = {"num_train_epochs": 1, "batch_size": 4, "num_generations": 4, "max_completion_length": 2}
    run = make_run(tmp_path, 4, train={**settings, "steps": 1})
    pool = run.config.data.path
    train(run, pool)
    warmup(run)
    evaluate(run, pool, policy="base")
    command = [sys.executable, "-c", CODE, str(run.path), pool]
    assert subprocess.check_output(command, text=True).strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU, TRL samples with vLLM")
def test_training_on_a_cpu_does_not_import_vllm() -> None:
    code = "import sys, learnalign.training.job; print('vllm' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
