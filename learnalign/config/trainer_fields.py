"""Fields of TRL's configuration that `warmup.trainer` and `train.trainer` cannot hold; which others TRL has, it says itself."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable

from learnalign.errors import InputError

# Fields that have a key of their own, or that the trainer sets from one; `{section}` is warmup or train.
OWNED = {
    **{
        name: f"{{section}}.{name}"
        for name in (
            "num_train_epochs",
            "num_generations",
            "learning_rate",
            "beta",
            "epsilon",
            "temperature",
            "max_completion_length",
            "lr_scheduler_type",
            "warmup_steps",
        )
    },
    "max_steps": "{section}.steps",
    "report_to": "{section}.report_to",
    "gradient_accumulation_steps": "{section}.batch_size",
    "generation_batch_size": "{section}.batch_size",
    "steps_per_generation": "{section}.mini_batch_size",
    "seed": "{seed}",
    "data_seed": "{seed}",
    "model_init_kwargs": "model.dtype, model.attn or model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "chat_template_kwargs": "data.chat_template_kwargs",
}
# Fields that would break this trainer's use of the run directory; each with the reason.
REFUSED = {
    "output_dir": "everything goes into the run directory",
    "resume_from_checkpoint": "running the same command again resumes",
    "save_only_model": "resuming needs the optimiser's state too",
    "push_to_hub": "the policy stays in the run directory; upload it from there",
    "eval_strategy": "there is no test set in training; use `learnalign eval`",
    "do_eval": "there is no test set in training; use `learnalign eval`",
    "reward_weights": "there is one reward, the verifier's",
    "remove_unused_columns": "the verifier needs the pool's columns",
    "shuffle_dataset": "the order of the prompts is this program's own, so that resuming keeps it",
    "auto_find_batch_size": "TRL cannot do that with groups; lower per_device_train_batch_size",
}


def check_fields(fields: Iterable[str], section: str) -> None:
    """Raise ValueError for a field that has a key of its own, or that cannot be set."""
    for name in fields:
        if name in OWNED:
            key = OWNED[name].format(section=section, seed="train.seed" if section == "train" else "seed")
            raise ValueError(f"{name} has a key of its own: set {key} instead")
        if name in REFUSED:
            raise ValueError(f"{name} cannot be set; {REFUSED[name]}")


def check_known(fields: Iterable[str], section: str, algorithm: str = "grpo") -> None:
    """Raise InputError for a field that TRL's configuration of the algorithm lacks; if there are fields, TRL is imported: seconds."""
    if not (names := list(fields)):
        return
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.rloo_config import RLOOConfig

    kind = {"grpo": GRPOConfig, "rloo": RLOOConfig}[algorithm]
    known = {field.name for field in dataclasses.fields(kind)}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known - OWNED.keys() - REFUSED.keys(), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{section}.trainer.{name}: TRL's {kind.__name__} has no such field{hint}")
