"""One GRPO job, from a starting model to a policy directory: what warmup and train have in common."""

from __future__ import annotations

import contextlib
import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from learnalign.config import WarmupConfig
from learnalign.curriculum import Curriculum
from learnalign.errors import InputError, one_line
from learnalign.policy import load_tokenizer, model_path, prompt_ids
from learnalign.progress import Progress
from learnalign.prompts import Prompt
from learnalign.rundir import RunDir
from learnalign.rundir.files import atomic_path, write_jsonl
from learnalign.training import checkpoints
from learnalign.training.rewards import Rewards, Visit
from learnalign.training.saving import save_policy
from learnalign.training.settings import base_dtype, grpo_arguments
from learnalign.training.trainer import Bookkeeping, Trainer, diverged, out_of_memory, quiet
from learnalign.verify import open_verifier


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train on and where the results go.

    `start` is the model trained from, which is the reference π_ref too; with `settings.lora` it stays as it is below
    the adapter. `work` holds the checkpoints while training; it is deleted at the end.
    """

    section: str
    settings: WarmupConfig
    prompts: Sequence[Prompt]
    curriculum: Curriculum
    start: str
    work: Path
    output: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job went: `steps` in all, `resumed` of them done before, unscored completions, every group's account."""

    steps: int
    resumed: int
    unscored: int
    visits: list[Visit]
    metrics: list[dict[str, Any]]
    disk_bytes: int


def optimise(run: RunDir, job: Job) -> Outcome:
    """Train with GRPO (settings.grpo_arguments says with which objective) and save the policy, its tokenizer and
    metrics.jsonl.

    An interrupted job goes on from its last complete checkpoint and ends bitwise the same. Raises InputError for
    settings that do not fit, RunError where disk or GPU memory run out or the training diverges.
    """
    tokenizer = load_tokenizer(run.config)
    longest = max(len(prompt_ids(tokenizer, prompt.messages)) for prompt in job.prompts)
    job.work.mkdir(parents=True, exist_ok=True)
    arguments = grpo_arguments(run.config, job.settings, job.section, job.work, longest, len(job.prompts))
    arguments.model_init_kwargs = _loading(run, job)
    with quiet(), open_verifier(run.config.verifier) as verifier:
        rewards = Rewards(job.prompts, verifier, tokenizer, job.settings.num_generations)
        trainer = _trainer(job, arguments, rewards, tokenizer)
        disk = checkpoints.check_disk(job.work, trainer.get_num_trainable_parameters(), arguments.save_strategy != "no")
        resumed = _train(trainer, job)
        outcome = Outcome(
            steps=trainer.state.global_step,
            resumed=resumed,
            unscored=rewards.unscored,
            visits=rewards.visits,
            metrics=_metrics(trainer, job),
            disk_bytes=disk,
        )
        with atomic_path(job.output) as folder:
            save_policy(folder, trainer.accelerator.unwrap_model(trainer.model), tokenizer, run.config, job.start)
            write_jsonl(folder / "metrics.jsonl", outcome.metrics)
    shutil.rmtree(job.work)
    with contextlib.suppress(OSError):  # another job's checkpoints may lie beside
        job.work.parent.rmdir()
    del trainer
    gc.collect()
    torch.cuda.empty_cache()
    return outcome


def _loading(run: RunDir, job: Job) -> dict[str, Any]:
    """How TRL loads model and reference. Weights to be trained are float32: a step of 1e-6 is lost in bfloat16's 8
    bits.
    """
    model = run.config.model
    frozen = job.settings.lora is not None and torch.cuda.is_available()
    options: dict[str, Any] = {
        "dtype": base_dtype(run.config) if frozen else torch.float32,
        "attn_implementation": model.attn,
        "trust_remote_code": model.trust_remote_code,
    }
    if job.start == model_path(run.config):
        options["revision"] = model.revision
    return options


def _trainer(job: Job, arguments: Any, rewards: Rewards, tokenizer: PreTrainedTokenizerBase) -> Trainer:
    dataset = Dataset.from_list([{"prompt": prompt.messages, "index": row} for row, prompt in enumerate(job.prompts)])
    adapter = None
    if job.settings.lora is not None:
        from peft import LoraConfig

        adapter = LoraConfig(task_type="CAUSAL_LM", **job.settings.lora.model_dump())
    try:
        return Trainer(
            curriculum=job.curriculum,
            rewards=rewards,
            model=job.start,
            args=arguments,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=adapter,
        )
    except ValueError as error:
        raise InputError(f"{job.section}: TRL refuses this: {one_line(error)}") from error


def _train(trainer: Trainer, job: Job) -> int:
    """Run to the end; returns the steps that were done before."""
    checkpoint = checkpoints.latest(job.work)
    done = 0
    if checkpoint is not None:
        done = int(checkpoint.name.rpartition("-")[2])
        state = checkpoints.read_state(checkpoint)
        trainer.rewards.load_state_dict(state["rewards"])
        trainer.curriculum.load_state_dict(state["curriculum"])
    with Progress(trainer.args.max_steps, "steps", job.section, done=done) as progress:
        trainer.add_callback(Bookkeeping(trainer, job.work, progress))
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, job.section, trainer.args) from error
        except RuntimeError as error:
            if "probability tensor contains" in str(error):  # torch.multinomial's word for a policy of NaN
                raise diverged(trainer.state.global_step, "the policy's probabilities are not numbers") from error
            raise
    return done


def _metrics(trainer: Trainer, job: Job) -> list[dict[str, Any]]:
    """One dictionary per logged step, with `epoch` counted in passes over the prompts."""
    per_step = trainer.groups / trainer.num_iterations / len(job.prompts)
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [{"step": entry["step"], **entry, "epoch": round(entry["step"] * per_step, 4)} for entry in logged]
