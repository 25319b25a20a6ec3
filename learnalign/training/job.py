"""One training, from a starting model to a policy directory; warmup and train share it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from learnalign import processes
from learnalign.config import GrpoConfig, UntilConfig
from learnalign.curriculum import Curriculum
from learnalign.errors import InputError, LearnAlignError, RunError, counted, one_line
from learnalign.policy import check_finite, check_reference, check_weights, model_path, prompt_ids, run_tokenizer
from learnalign.progress import Progress
from learnalign.prompts import Prompt
from learnalign.rollouts.judging import opened_reasoning
from learnalign.rundir import RunDir
from learnalign.rundir.files import atomic_path, disk_error, remove, remove_leftovers, write_jsonl
from learnalign.training import checkpoints
from learnalign.training.context import check_context
from learnalign.training.convergence import Convergence
from learnalign.training.kept import POLICIES, Kept
from learnalign.training.reporting import logs_in
from learnalign.training.rewards import Rewards, Visit
from learnalign.training.saving import save_policy, whole_weights
from learnalign.training.settings import base_dtype, refused, trainer_arguments
from learnalign.training.steps import check_shares, kept_steps
from learnalign.training.trainer import TRAINERS, Bookkeeping, Trainer, diverged, out_of_memory, quiet
from learnalign.verify import Verifier
from learnalign.verify.configured import configured_verifier


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train on and where to write the results.

    `start` is the model to train from, and also π_ref unless `reference` names another; `settings.lora` puts an
    adapter on it and leaves it unchanged. `until` may end it early; `keep` policies stay, the last one in `output`, the
    others in `policies` beside it. `work` holds the checkpoints while training; it is deleted at the end.
    """

    section: str
    settings: GrpoConfig
    prompts: Sequence[Prompt]
    curriculum: Curriculum
    start: str
    reference: str | None = None
    algorithm: str = "grpo"
    until: UntilConfig | None = None
    keep: int | None = None
    work: Path
    output: Path


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """`steps` in all, `resumed` of them by an earlier process; why it `ended` (epochs, steps or converged); unscored
    completions; every group's rewards; metrics and disk.
    """

    steps: int
    resumed: int
    ended: str
    unscored: int
    visits: list[Visit]
    metrics: list[dict[str, Any]]
    disk_bytes: int


def optimise(run: RunDir, job: Job) -> JobResult:
    """Train (the objective of settings.trainer_arguments) and save the policy, its tokenizer and metrics.jsonl.

    An interrupted job resumes from its last complete checkpoint and ends bitwise the same. Of several processes
    (`processes`), the first announces the job to the others, which call this too, and alone writes. Raises InputError for
    invalid settings, RunError if disk or GPU memory runs out or the training diverges.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # libraries print on stdout, which is the result's
            return _optimise(run, job)
    except RuntimeError as error:
        if processes.is_loss(error):
            raise processes.Lost from error
        raise


def _optimise(run: RunDir, job: Job) -> JobResult:
    leads = processes.rank() == 0
    tokenizer = run_tokenizer(run)
    longest = max(len(prompt_ids(tokenizer, prompt.messages)) for prompt in job.prompts)
    _check(run, job, longest)
    checkpoint = _begin(run, job)
    settings = (job.settings, job.section, job.work, longest, len(job.prompts), job.algorithm)
    arguments = trainer_arguments(run.config, *settings)
    arguments.model_init_kwargs = _loading(run, job)
    with quiet(), configured_verifier(run.config) as verifier:
        rewards = _rewards(run, job, verifier, tokenizer)
        trainer = _prepared(run, job, arguments, rewards, tokenizer)
        save = functools.partial(_save, run, job, trainer, tokenizer)
        steps = kept_steps(arguments.max_steps // trainer.updates, job.keep)
        kept = Kept(job.output.with_name(POLICIES), steps[:-1], save)
        disk = 0
        if leads:
            trained, left = trainer.get_num_trainable_parameters(), len(steps) - len(kept.stored())
            disk = checkpoints.check_disk(job.work, trained, trainer.checkpoint_bytes, left, checkpoint is not None)
            remove_leftovers(job.output)
        resumed, ended = _train(trainer, job, kept, checkpoint)
        result = JobResult(
            steps=trainer.step,
            resumed=resumed,
            ended=ended,
            unscored=rewards.unscored,
            visits=rewards.visits,
            metrics=_metrics(trainer, job),
            disk_bytes=disk,
        )
        if leads:
            with atomic_path(job.output) as folder:
                save(folder)
                write_jsonl(folder / "metrics.jsonl", result.metrics)
        else:
            save(None)
    if leads:
        remove(job.work)
        with contextlib.suppress(OSError):  # not empty if another job has checkpoints there
            job.work.parent.rmdir()
    del trainer
    gc.collect()
    torch.cuda.empty_cache()
    return result


def _check(run: RunDir, job: Job, longest: int) -> None:
    """Raise InputError for what can be known before a model is loaded; `longest`: tokens of a prompt."""
    if job.reference is not None:
        check_reference(run.config)
        if job.settings.trainer.get("cast_lm_head_to_fp32"):
            raise InputError(
                f"{job.section}.trainer.cast_lm_head_to_fp32: TRL cannot do that to a model.reference; leave one out"
            )
    refers = job.settings.beta > 0 and (job.reference is not None or job.settings.lora is None)
    if refers and processes.count() > 1 and processes.loads_in_first_only():
        raise InputError(
            f"{job.section}.beta {job.settings.beta}: with fsdp_cpu_ram_efficient_loading: true, π_ref would have random weights in all "
            "processes but the first; set it to false in the file of accelerate launch --config_file (as configs/accelerate/fsdp.yaml "
            f"does), or train with {job.section}.beta=0"
        )
    check_context(run.config, job.start, job.section, job.settings, longest)
    check_weights(run.config, "model.name", job.start)
    check_shares(job.settings, job.section, processes.count())
    if processes.count() > 1 and job.curriculum.redraws:
        raise InputError(
            f"{job.section}.curriculum {run.config.train.curriculum}: it draws again within a step, which several processes cannot; start "
            "one process (--num_processes 1), or take another curriculum"
        )


def _begin(run: RunDir, job: Job) -> Path | None:
    """Announce the job, wait until all processes are there, and give the first one the checkpoint to go on from."""
    checkpoint = None
    if processes.rank() == 0:
        job.work.mkdir(parents=True, exist_ok=True)
        checkpoint = _checkpoint(job)
        processes.announce(announcement(run, job))
    processes.exchange(None)  # before torch waits for them, in which a signal would not be answered
    return checkpoint


def announcement(run: RunDir, job: Job) -> dict[str, Any]:
    """The job in JSON values, of which `followers` make it again; its prompts are in the run directory."""
    plain = {each.name: getattr(job, each.name) for each in dataclasses.fields(job)}
    plain |= {
        "settings": job.settings.model_dump(mode="json", include=set(GrpoConfig.model_fields)),
        "until": job.until and job.until.model_dump(mode="json"),
    }
    plain |= {"prompts": [prompt.id for prompt in job.prompts], "curriculum": None}
    plain |= {"work": str(job.work), "output": str(job.output)}
    return {"run": str(run.path), "config": run.config.model_dump(mode="json"), "job": plain}


def _checkpoint(job: Job) -> Path | None:
    """The checkpoint to go on from; raises InputError if it is of another number of processes, or of another layout of the model."""
    checkpoint = checkpoints.latest(job.work)
    if checkpoint is None:
        return None
    state = checkpoints.read_state(checkpoint)
    made_by, layout = state.get("processes", 1), state.get("layout", "DDP")
    if layout != processes.layout():
        raise InputError(
            f"{checkpoint} was made by {layout}, this command has {processes.layout()}, which reads other files. Ways out: start it with "
            f"the configuration of the first time (accelerate launch --config_file), or delete {job.work} to begin again"
        )
    if made_by != processes.count():
        raise InputError(
            f"{checkpoint} was made by {counted(made_by, 'process', 'processes')}, this command has {processes.count()}, and would "
            f"sample with other random numbers. Ways out: start it with {made_by} (accelerate launch --num_processes {made_by}; 1: without "
            f"accelerate launch), or delete {job.work} to begin again"
        )
    return checkpoint


def _save(run: RunDir, job: Job, trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path | None) -> None:
    """Write the policy as it is now, whole; all processes call this if each has a part of it, with a folder in the first."""
    weights = whole_weights(trainer.accelerator, trainer.model_wrapped) if trainer.is_divided else None
    if folder is not None:
        save_policy(folder, trainer.accelerator.unwrap_model(trainer.model), tokenizer, run.config, job.start, weights)


def _loading(run: RunDir, job: Job) -> dict[str, Any]:
    """How TRL loads model and reference. Trained weights are float32: bfloat16's 8 bits lose a step of 1e-6."""
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


def _rewards(run: RunDir, job: Job, verifier: Verifier, tokenizer: PreTrainedTokenizerBase) -> Rewards:
    tags = run.config.data.reasoning_tags
    opened = opened_reasoning(tokenizer, prompt_ids(tokenizer, job.prompts[0].messages), tags)
    return Rewards(job.prompts, verifier, tokenizer, job.settings.num_generations, tags, opened, run.config.verifier)


def _prepared(run: RunDir, job: Job, arguments: Any, rewards: Rewards, tokenizer: PreTrainedTokenizerBase) -> Trainer:
    """The trainer with its model and π_ref, which are in order."""
    with logs_in(run.path, job.section):
        trainer = _trainer(job, arguments, rewards, tokenizer)
    check_finite(f"model.name {job.start}", trainer.model)  # type: ignore[arg-type]  # TRL made it
    if trainer.is_divided and run.config.train.curriculum == "gain" and job.section == "train":
        raise InputError(
            "train.curriculum gain: it runs the policy on the first process, where FSDP and DeepSpeed keep a part of it; start with "
            "plain data parallelism (configs/accelerate/ddp.yaml), or take another curriculum"
        )
    if processes.rank() == 0:
        _note_rounding(job, trainer)
    if job.reference is not None and job.settings.beta > 0:
        trainer.refer_to(job.reference, run.config.model.reference_revision)
    return trainer


def _note_rounding(job: Job, trainer: Trainer) -> None:
    """Say on stderr if DeepSpeed will round the model that the training begins with; an adapter's base is on disk with all its digits."""
    if processes.layout() != "DeepSpeed" or job.settings.lora is not None:
        return
    dtype = torch.bfloat16 if trainer.args.bf16 else torch.float16 if trainer.args.fp16 else torch.float32
    policy: Any = trainer.model
    if any(not torch.equal(each, each.to(dtype).float()) for each in policy.parameters()):
        print(
            f"{job.section}: DeepSpeed rounds {job.start} to {str(dtype).removeprefix('torch.')} before it begins, so that small steps "
            "of an earlier training are lost; FSDP keeps them (configs/accelerate/fsdp.yaml)",
            file=sys.stderr,
            flush=True,
        )


def _trainer(job: Job, arguments: Any, rewards: Rewards, tokenizer: PreTrainedTokenizerBase) -> Trainer:
    dataset = Dataset.from_list([{"prompt": prompt.messages, "index": row} for row, prompt in enumerate(job.prompts)])
    adapter = None
    if job.settings.lora is not None:
        from peft import LoraConfig

        adapter = LoraConfig(task_type="CAUSAL_LM", **job.settings.lora.model_dump())
    try:
        return TRAINERS[job.algorithm](
            curriculum=job.curriculum,
            rewards=rewards,
            model=job.start,
            args=arguments,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=adapter,
        )
    except torch.OutOfMemoryError as error:
        raise out_of_memory(error, job.section, arguments) from error
    except (LearnAlignError, OSError, MemoryError):
        raise
    except Exception as error:
        raise refused(job.section, error) from error


def _train(trainer: Trainer, job: Job, kept: Kept, checkpoint: Path | None) -> tuple[int, str]:
    """Train to the end; returns the number of steps that an earlier process had done, and why the training ended."""
    checkpoint, done = _resume(trainer, kept, checkpoint)
    convergence = Convergence(job.until) if job.until else None
    if checkpoint is not None:
        state = checkpoints.read_state(checkpoint)
        trainer.rewards.load_state_dict(state["rewards"])
        trainer.curriculum.load_state_dict(state["curriculum"])
        if convergence is not None:
            convergence.load_state_dict(state["convergence"])
    planned = trainer.args.max_steps // trainer.updates
    if convergence is not None and convergence.reached:  # an earlier process ended here, before it saved the policy
        trainer.args.max_steps = done * trainer.updates
    with Progress(planned, "steps", job.section, done=done) as progress:
        trainer.add_callback(Bookkeeping(trainer, job.work, progress, kept, convergence))
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except (LearnAlignError, MemoryError):
            raise
        except (
            OSError
        ) as error:  # of a write to an open file, which names no file: the trainer's own are in the work folder
            raise disk_error(job.work, error) if error.filename is None else error from error
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, job.section, trainer.args) from error
        except Exception as error:
            if processes.is_loss(error):
                raise
            if "probability tensor contains" in str(error):  # torch.multinomial's message if the policy is NaN
                raise diverged(trainer.step, "the policy's probabilities are NaN or infinite") from error
            if progress.done > done:
                raise
            raise _not_begun(job, checkpoint, error) from error
    if convergence is not None and convergence.reached:
        return done, "converged"
    return done, "epochs" if job.settings.steps is None else "steps"


def _not_begun(job: Job, checkpoint: Path | None, error: Exception) -> LearnAlignError:
    """The error for a training that ended before a step, with the settings that a `checkpoint` was made with."""
    if checkpoint is None:
        return refused(job.section, error)
    return RunError(
        f"{job.section}: cannot go on from {checkpoint} ({type(error).__name__}: {one_line(error, 120)}). Way out: delete "
        f"{job.work}, and the same command begins the training again"
    )


def _resume(trainer: Trainer, kept: Kept, checkpoint: Path | None) -> tuple[Path | None, int]:
    """The checkpoint that all processes go on from, and its step."""
    done = int(checkpoint.name.rpartition("-")[2]) // trainer.updates if checkpoint else 0
    if processes.rank() == 0 and not kept.begin(done):
        kept.begin(0)  # some were deleted, and only training from the beginning makes them again
        checkpoint, done = None, 0
    resumed, done = processes.shared([str(checkpoint) if checkpoint else None, done])
    trainer.seed_alike()
    return (Path(resumed) if resumed else None), done


def _metrics(trainer: Trainer, job: Job) -> list[dict[str, Any]]:
    """One dictionary per logged step (a mean over its updates), with `epoch` counted in passes over the prompts."""
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    passes = trainer.groups / trainer.updates / len(job.prompts)  # of an update
    counted = [
        {"step": math.ceil(entry["step"] / trainer.updates), "epoch": round(entry["step"] * passes, 4)}
        for entry in logged
    ]
    return [{"step": 0} | entry | own for entry, own in zip(logged, counted, strict=True)]
