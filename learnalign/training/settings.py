"""Settings for TRL's trainers: the paper's Eq. 1 (or RLOO), field by field, and any other field that the user passes through."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import torch

from learnalign import processes as together
from learnalign.config import HOTTEST, Config, GrpoConfig
from learnalign.config.trainer_fields import check_known
from learnalign.errors import InputError, one_line
from learnalign.policy import device, model_config
from learnalign.training.library import GRPOConfig, RLOOConfig
from learnalign.training.reporting import reporters
from learnalign.training.steps import planned_steps, update_size

CONFIGS = {"grpo": GRPOConfig, "rloo": RLOOConfig}
CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")  # the former since transformers 5.23
# Tokens of one forward and backward pass. With checkpointing (GPU) a 7B model needs about 12 GB for it, without (CPU) a
# 135M model about 3 GB.
MICRO_BATCH_TOKENS = {"cuda": 32768, "cpu": 2048}


def trainer_arguments(
    config: Config,
    settings: GrpoConfig,
    section: str,
    folder: Path,
    longest_prompt: int,
    count: int,
    algorithm: str = "grpo",
) -> GRPOConfig | RLOOConfig:
    """TRL's arguments for training on `count` prompts of at most `longest_prompt` tokens, checkpoints in `folder`.

    A step is one batch of completions, of which each process has an equal share (`steps_per_generation` micro-
    batches); each `gradient_accumulation_steps` micro-batches make an update; `max_steps`, `save_steps` and
    `logging_steps` count updates. With several updates a step, TRL shuffles the step's completions and keeps their
    log-probabilities before the first update, for the ratio of Eq. 1.

    For Eq. 1 (`grpo`), these replace TRL 1.16's defaults, which are not the paper's objective (`trainer` may change them):

    - loss_type "grpo": 1/|o| Σ_t within a completion, then the mean over completions. TRL's "dapo" divides by the
      batch's tokens.
    - use_bias_correction_kl False: the KL estimator of Eq. 1. TRL multiplies it by the ratio, which changes its
      gradient.
    - beta 0.04 of the configuration: TRL's 0.0 has no KL term.
    - scale_rewards "group": Â = (r − mean) / (std + 1e-4) with the group's mean and std (TRL's default, stated here).
    - epsilon_high = epsilon, delta None, num_iterations 1, importance_sampling_level "token": symmetric clipping of
      token ratios, every completion in one update.
    - mask_truncated_completions False, top_entropy_quantile 1.0, entropy_coef 0.0: every sampled token of every
      completion.
    - vllm_importance_sampling_correction False: Eq. 1's ratio is to the policy that sampled; TRL would weigh and mask
      completions by how far vLLM's log-probabilities are from the trainer's.
    - top_p 1.0, top_k 0, min_p None, repetition_penalty 1.0: samples from π_θ itself, whatever the model's
      generation_config says.
    - AdamW 0.9, 0.999, 1e-8 and no weight decay (Table 6), gradients clipped at norm 1.
    - bf16: TRL's None means True. Here it is on if there is a GPU and the model is bfloat16; weights stay float32.

    `rloo` has `_rloo_objective` in place of them.

    Raises InputError if the batch cannot be divided into groups or updates, or a field of `trainer` is unknown, has a key
    of its own or a bad value.
    """
    kind = CONFIGS[algorithm]
    check_known(settings.trainer, section, algorithm)
    steps, size = planned_steps(settings, section, count), update_size(settings, section)
    processes = together.count()
    share = size // processes
    per_device = _per_device(settings, section, share, longest_prompt)
    iterations = settings.trainer.get("num_iterations", 1)
    if type(iterations) is not int or iterations < 1:
        raise InputError(
            f"{section}.trainer.num_iterations: got {iterations!r}, but it should be a whole number, at least 1"
        )
    updates = iterations * (settings.batch_size // size)
    fields: dict[str, Any] = {
        **(_objective(settings) if algorithm == "grpo" else _rloo_objective(settings)),
        **_sampling(settings, longest_prompt),
        **_optimiser(settings),
        **_precision(config),
        **_running(config),
        **_checkpointing(settings, kind),
        "report_to": reporters(settings, section),
        "project": "learnalign",
        "run_name": f"{folder.parent.parent.name} {section}",
        "max_steps": steps * updates,
        "save_steps": updates * -(-steps // 10),
        "logging_steps": updates,
        **settings.trainer,
        "output_dir": str(folder),
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": share // per_device,
        "steps_per_generation": settings.batch_size // processes // per_device,
    }
    try:
        arguments = kind(**fields)
    except Exception as error:  # the user's values may break TRL anywhere
        raise refused(section, error) from error
    if arguments.save_steps % updates:
        raise InputError(
            f"{section}.trainer.save_steps: got {arguments.save_steps}, but it counts updates, and a training resumes at the "
            f"beginning of a step: give a multiple of the {updates} updates of a step"
        )
    if arguments.use_vllm and arguments.temperature > HOTTEST:
        raise InputError(
            f"{section}.temperature: got {arguments.temperature:g}, but vLLM samples at temperatures up to {HOTTEST:g}; give a lower one, "
            f"or sample without it: --set {section}.trainer.use_vllm=false"
        )
    if arguments.use_vllm and device().type == "cpu":
        raise InputError(
            f"{section}.trainer.use_vllm: TRL cannot give new weights to vLLM on a CPU; remove it (rollouts may use "
            "vLLM)"
        )
    if together.count() > 1 and device().type == "cpu":
        # accelerate's cpu:0, cpu:1 … are places that torch cannot load a checkpoint's optimiser to.
        vars(arguments)["_setup_devices"] = torch.device("cpu")
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process trains on one GPU; TRL refuses to start if it sees more
    return arguments


def refused(section: str, error: Exception) -> InputError:
    """The error for settings that TRL or transformers refuse, or fail with before the first step."""
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return InputError(
        f"{section}: TRL refuses these settings ({kind}{one_line(error, 300)}); change {section}.trainer, "
        f"{section}.lr_scheduler_type or {section}.lora"
    )


def _per_device(settings: GrpoConfig, section: str, update: int, longest_prompt: int) -> int:
    """Completions of one forward and backward pass: the user's number, or as many as fit into the token budget.

    `update` is what a process has of those of an update.
    """
    size = settings.trainer.get("per_device_train_batch_size")
    if size is None:
        tokens = longest_prompt + settings.max_completion_length
        return micro_batch(update, tokens, MICRO_BATCH_TOKENS[device().type])
    if not isinstance(size, int) or size < 1 or update % size:
        whole = "batch_size" if settings.mini_batch_size is None else "mini_batch_size"
        raise InputError(
            f"{section}.trainer.per_device_train_batch_size: got {size!r}, but it must divide {section}.{whole}"
            f"{f', of which each process has {update}' if together.count() > 1 else f' ({update})'}"
        )
    return size


def micro_batch(batch_size: int, tokens: int, budget: int) -> int:
    """The largest divisor of `batch_size` whose rows of `tokens` tokens fit into `budget` tokens; at least 1."""
    most = max(1, min(batch_size, budget // tokens))
    return next(size for size in range(most, 0, -1) if not batch_size % size)


def _objective(settings: GrpoConfig) -> dict[str, Any]:
    return {
        "loss_type": "grpo",
        "scale_rewards": "group",
        "beta": settings.beta,
        "epsilon": settings.epsilon,
        "epsilon_high": None,
        "delta": None,
        "num_iterations": 1,
        "importance_sampling_level": "token",
        "use_bias_correction_kl": False,
        "mask_truncated_completions": False,
        "top_entropy_quantile": 1.0,
        "entropy_coef": 0.0,
        "vllm_importance_sampling_correction": False,
    }


def _rloo_objective(settings: GrpoConfig) -> dict[str, Any]:
    """RLOO: Â_i = R_i − mean of the group's other R_j, with R = r − β Σ_t log π_θ/π_ref of the tokens sampled.

    The loss is the mean over completions of −min(w Â, clip(w, 1 − ε, 1 + ε) Â), w = π_θ(o)/π_old(o) of the whole completion.
    """
    return {
        "beta": settings.beta,
        "epsilon": settings.epsilon,
        "epsilon_high": None,
        "num_iterations": 1,
        "normalize_advantages": False,
        "reward_clip_range": None,
        "mask_truncated_completions": False,
    }


def _sampling(settings: GrpoConfig, longest_prompt: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "num_generations": settings.num_generations,
        "max_completion_length": settings.max_completion_length,
        "temperature": settings.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "use_vllm": device().type == "cuda"
        and importlib.util.find_spec("vllm") is not None
        and settings.temperature <= HOTTEST,
    }
    if fields["use_vllm"]:
        fields |= {
            "vllm_mode": "colocate",
            "vllm_max_model_length": longest_prompt + settings.max_completion_length,
            "vllm_enable_sleep_mode": True,  # gives vLLM's memory to the backward pass
        }
    return fields


def _optimiser(settings: GrpoConfig) -> dict[str, Any]:
    return {
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_steps,
        "optim": "adamw_torch_fused",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
    }


def _running(config: Config) -> dict[str, Any]:
    """Seeds, checkpoints, a log of every step; no bars and no reports of TRL's."""
    gpu = device().type == "cuda"
    return {
        "seed": config.seed,
        "save_strategy": "steps",
        "logging_strategy": "steps",
        "disable_tqdm": True,
        "dataloader_pin_memory": gpu,
        **_together(gpu),
    }


def _together(gpu: bool) -> dict[str, Any]:
    """Of several processes: every parameter has a gradient in every pass, and accelerate takes gloo only if it is told so."""
    if together.count() == 1:
        return {}
    return {"ddp_find_unused_parameters": False, "use_cpu": not gpu}


def _checkpointing(settings: GrpoConfig, kind: type) -> dict[str, Any]:
    """On a GPU, activations are computed again in the backward pass."""
    if set(CHECKPOINTING) & settings.trainer.keys():
        return {}
    known = {field.name for field in dataclasses.fields(kind)}
    return {next(name for name in CHECKPOINTING if name in known): device().type == "cuda"}


def _precision(config: Config) -> dict[str, Any]:
    dtype = base_dtype(config)
    gpu = device().type == "cuda"
    return {"bf16": gpu and dtype == torch.bfloat16, "fp16": gpu and dtype == torch.float16}


def base_dtype(config: Config) -> torch.dtype:
    """The precision that the policy is used in: `model.dtype`, or the base checkpoint's own."""
    if config.model.dtype != "auto":
        return getattr(torch, config.model.dtype)
    dtype = getattr(model_config(config), "dtype", None)
    return dtype if isinstance(dtype, torch.dtype) else torch.float32
