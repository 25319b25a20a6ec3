"""TRL's trainers with this program's order of prompts, checkpoints, end and progress."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import Sampler
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from learnalign import processes
from learnalign.curriculum import Curriculum
from learnalign.errors import RunError, counted, one_line
from learnalign.progress import Progress
from learnalign.rollouts.engines.contract import NotFinite
from learnalign.training import checkpoints
from learnalign.training.convergence import Convergence
from learnalign.training.kept import Kept
from learnalign.training.library import (
    GRPOConfig,
    GRPOTrainer,
    RLOOConfig,
    RLOOTrainer,
    add_fused_lm_head,
    create_model_from_path,
    disable_dropout_in_model,
    prepare_deepspeed,
    prepare_fsdp,
)
from learnalign.training.refill import Refill
from learnalign.training.rewards import Rewards
from learnalign.training.shared import Shared


class GenerationSampler(Sampler[int]):
    """Rows of one step in the layout of TRL's RepeatSampler: each prompt `generations` times, and the whole `repeats`
    times (once for each micro-batch, for TRL's trainer asks the data loader at each).

    One pass is one step, so the data loader of an epoch cannot fetch beyond the current step: the next prompts are drawn
    after its last update. Every resume therefore begins at the start of an epoch, which transformers restores exactly;
    within a step, whose completions are in no checkpoint, it could not.
    """

    def __init__(self, draw: Callable[[], list[int]], groups: int, generations: int, repeats: int) -> None:
        self.draw, self.groups, self.generations, self.repeats = draw, groups, generations, repeats

    def __iter__(self) -> Iterator[int]:
        rows = self.draw()
        for _ in range(self.repeats):
            for row in rows:
                yield from [row] * self.generations

    def __len__(self) -> int:
        return self.groups * self.generations * self.repeats


class Trainer(Refill, Shared):
    """A mixin: takes each step's prompts from `curriculum` and reports their success rates to it, once a step."""

    def __init__(self, *, curriculum: Curriculum, rewards: Rewards, args: GRPOConfig | RLOOConfig, **more: Any) -> None:
        assert args.generation_batch_size
        assert args.steps_per_generation
        assert args.num_generations
        self.curriculum, self.rewards = curriculum, rewards
        self.generations = args.num_generations
        self.groups = args.generation_batch_size // args.num_generations
        self.steps_per_generation = args.steps_per_generation
        self.updates = args.num_iterations * args.steps_per_generation // args.gradient_accumulation_steps  # of a step
        super().__init__(reward_funcs=[rewards], args=args, **more)  # type: ignore[arg-type]  # RLOOConfig, with RLOO
        self.remove_callback(PrinterCallback)

    @property
    def step(self) -> int:
        """The steps begun so far."""
        return math.ceil(self.state.global_step / self.updates)

    @property
    def checkpoint_bytes(self) -> int:
        """Of a checkpoint, per trained parameter; 0 without checkpoints."""
        if self.args.save_strategy == "no":
            return 0
        if self.is_deepspeed_enabled:
            whole = self.accelerator.state.deepspeed_plugin.zero_stage < 3
            return checkpoints.DEEPSPEED_BYTES if whole else checkpoints.ZERO3_BYTES
        return checkpoints.FSDP_BYTES if self.is_fsdp_enabled else checkpoints.CHECKPOINT_BYTES

    def seed_alike(self) -> None:
        """Give several processes the same random state, if each draws the seeds of all completions and takes its own (`Shared`).

        TRL gives each its own, so that they do not sample the same.
        """
        if processes.count() > 1 and self._sampler is not None:
            set_seed(self.args.seed)

    def refer_to(self, path: str, revision: str | None) -> None:
        """Take the model at `path` as π_ref, loaded and prepared as TRL does with the model trained from.

        TRL has no argument for it. With an adapter, TRL takes the model without its adapter, unless there is a `ref_model`.
        """
        args: Any = self.args
        self.ref_model = None  # TRL's own gives its memory back first
        options = {**(args.model_init_kwargs or {}), "revision": revision}
        reference = create_model_from_path(path, **options)
        if args.disable_dropout:
            disable_dropout_in_model(reference)
        add_fused_lm_head(reference, temperature=self.temperature)
        if self.is_deepspeed_enabled:
            self.ref_model = prepare_deepspeed(reference, self.accelerator)
        elif self.is_fsdp_enabled:
            self.ref_model = prepare_fsdp(reference, self.accelerator)
        else:
            self.ref_model = self.accelerator.prepare_model(reference, evaluation_mode=True)

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        groups = self.groups
        repeats = self.num_iterations * self.steps_per_generation

        def draw() -> list[int]:
            return processes.shared(self.curriculum.draw(groups))  # the first process has the curriculum

        return GenerationSampler(draw, groups, self.generations, repeats)

    def _generate_single_turn(self, *arguments: Any) -> Any:
        try:
            return super()._generate_single_turn(*arguments)
        except NotFinite as error:
            raise diverged(self.step, "the policy's probabilities are NaN or infinite") from error

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        # Within the step and before its update: the curriculum sees the model that drew these rollouts (M_t of
        # GAIN-RL's Eq. 9).
        if self.curriculum.redraws:
            inputs = self._with_spread(inputs)
        output = super()._generate_and_score_completions(inputs)
        own = [row["index"] for row in inputs][:: self.generations]
        rows = list(itertools.chain.from_iterable(processes.exchange(own)))
        self.curriculum.update(rows, self._success_rates(len(rows)), self.model)
        for name, value in self.curriculum.metrics().items():
            self._metrics["train"][f"curriculum/{name}"].append(value)
        return output

    def _send_telemetry(self) -> None:
        """Disabled: TRL reports usage to its authors."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Disabled: TRL puts a README into every checkpoint."""


class GrpoTrainer(Trainer, GRPOTrainer):
    """TRL's GRPO with curricula."""


class RlooTrainer(Trainer, RLOOTrainer):  # type: ignore[misc]  # a mixin that mypy takes for a GRPOTrainer
    """TRL's RLOO with curricula."""


TRAINERS: dict[str, type[Trainer]] = {"grpo": GrpoTrainer, "rloo": RlooTrainer}


class Bookkeeping(TrainerCallback):
    """Reports progress, keeps policies, completes checkpoints, and ends a run that has converged or diverged."""

    def __init__(
        self, trainer: Trainer, folder: Path, progress: Progress, kept: Kept, convergence: Convergence | None
    ) -> None:
        self.trainer, self.folder, self.progress = trainer, folder, progress
        self.kept, self.convergence = kept, convergence
        self.visits = len(trainer.rewards.visits)  # before the present step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """transformers' step is an update."""
        if state.global_step % self.trainer.updates:
            return
        step = self.trainer.step
        self.progress.advance(step - self.progress.done)
        if self.convergence is not None:
            self.convergence.update(self.trainer.rewards.mean_since(self.visits))
            control.should_training_stop |= self.convergence.reached
        self.visits = len(self.trainer.rewards.visits)
        if state.global_step < args.max_steps and not control.should_training_stop:
            self.kept.keep(step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        processes.exchange(None)  # each writes its random state
        if processes.rank():
            return
        own: dict[str, Any] = {
            "rewards": self.trainer.rewards.state_dict(),
            "curriculum": self.trainer.curriculum.state_dict(),
        }
        own |= {"convergence": self.convergence.state_dict()} if self.convergence is not None else {}
        own |= {"processes": processes.count()} if processes.count() > 1 else {}
        own |= {"layout": processes.layout()} if processes.layout() != "DDP" else {}
        checkpoints.complete(self.folder, state.global_step, own)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        norm = (logs or {}).get("grad_norm")
        if norm is not None and not math.isfinite(float(norm)):
            raise diverged(self.trainer.step, f"the gradient's norm is {norm}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the progress bars of transformers and TRL, and their warnings about settings that the user cannot
    change.
    """
    hf, trl = transformers.utils.logging, logging.getLogger("trl")
    verbosity, level, bars = hf.get_verbosity(), trl.level, hf.is_progress_bar_enabled()
    hf.set_verbosity_error()
    hf.disable_progress_bar()
    trl.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of names that TRL uses
            yield
    finally:
        hf.set_verbosity(verbosity)
        if bars:
            hf.enable_progress_bar()
        trl.setLevel(level)


def diverged(step: int, sign: str) -> RunError:
    """The error for a policy that training destroyed, with every way out."""
    return RunError(
        f"training diverged at step {step}: {sign}; lower learning_rate, raise warmup_steps, or train in float32 "
        "(--set model.dtype=float32)"
    )


def out_of_memory(error: torch.OutOfMemoryError, section: str, args: TrainingArguments) -> RunError:
    """The error for a full GPU, with every way out."""
    return RunError(
        f"the GPU's memory is full with {counted(args.per_device_train_batch_size, 'completion')} at once "
        f"({one_line(error, 120)}); lower {section}.trainer.per_device_train_batch_size or "
        f"{section}.max_completion_length, train an adapter ({section}.lora), or give vLLM less "
        f"({section}.trainer.vllm_gpu_memory_utilization)"
    )
