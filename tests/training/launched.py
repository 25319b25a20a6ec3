"""Trainings of several processes, started by `accelerate launch` on the CPU (gloo)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import learnalign_configs
import psutil
import torch
from safetensors.torch import load_file, save_file

from learnalign.rundir import RunDir
from tests.tiny import make_run

CONFIGS = Path(str(learnalign_configs.__file__)).parent / "accelerate"
SETTINGS: dict[str, Any] = {
    "size": 8,
    "steps": 2,
    "batch_size": 8,
    "num_generations": 2,
    "max_completion_length": 8,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
}


def make(folder: Path, model: dict[str, Any] | None = None, **changes: Any) -> RunDir:
    """A run directory to train in, with these changes to SETTINGS."""
    warmup, verifier = {**SETTINGS, **changes}, "tests.training.coin_verifier:coin"
    return make_run(folder, 12, verifier=verifier, warmup=warmup, model=model or {})


def start(
    *arguments: str, count: int = 2, config: Path = CONFIGS / "ddp.yaml", module: str = "learnalign_cli"
) -> subprocess.Popen[str]:
    """A launcher that runs a command in `count` processes."""
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", str(count)]
    command = [sys.executable, *launch, "-m", module, *arguments]
    own = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "DS_ACCELERATOR": "cpu",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **own}
    )


def launch(*arguments: str, **how: Any) -> tuple[int, str, str]:
    """The launcher's exit code, output and errors once it has ended."""
    process = start(*arguments, **how)
    output, errors = process.communicate(timeout=240)
    return process.returncode, output, errors


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a policy."""
    return load_file(folder / "model.safetensors")


def round_weights(model: Path) -> dict[str, torch.Tensor]:
    """The weights of a model, which bfloat16 can hold from now on, as those of published models."""
    rounded = {name: tensor.bfloat16().float() for name, tensor in weights(model).items()}
    save_file(rounded, model / "model.safetensors", {"format": "pt"})
    return rounded


def process_of(launcher: subprocess.Popen[str], rank: int) -> psutil.Process:
    """A launcher's process of this rank."""
    children = psutil.Process(launcher.pid).children()
    return next(child for child in children if child.environ().get("RANK") == str(rank))


def wait_for(ready: Any) -> None:
    """Return as soon as `ready()` is true."""
    deadline = time.monotonic() + 150
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
