"""Settings of trainings: warmup's, `train`'s, and the curricula's. Defaults are the papers'."""

from __future__ import annotations

import typing
from typing import Any, Literal

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator

from learnalign.config.section import (
    Completions,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    OneOf,
    PositiveInt,
    Section,
    Seed,
    Temperature,
    enumerated,
)
from learnalign.config.trainer_fields import check_fields
from learnalign.names import ALGORITHMS, CURRICULA, REPORTERS, unknown

Reporter = typing.Annotated[str, OneOf(REPORTERS)]
Epochs = typing.Annotated[float, Field(gt=0, le=1_000_000)]


class LoraConfig(Section):
    """PEFT's LoraConfig fields."""

    r: PositiveInt = Field(16, description="rank")
    lora_alpha: PositiveInt = Field(32, description="scale numerator")
    lora_dropout: Fraction = Field(0.0, description="dropout on the adapter's input")
    target_modules: str | list[str] = Field("all-linear", description="which layers get an adapter")


class GrpoConfig(Section):
    """One GRPO training (Eq. 1), with TRL's names."""

    num_train_epochs: Epochs = Field(2, description="passes over the subset")
    steps: PositiveInt | None = Field(
        None, description="steps, in place of num_train_epochs; each draws and samples batch_size completions"
    )
    batch_size: Completions = Field(48, description="completions per step: prompts × num_generations")
    mini_batch_size: PositiveInt | None = Field(
        None,
        description="completions per optimiser update, a divisor of batch_size; null: batch_size, one update a step",
    )
    num_generations: Completions = Field(8, description="completions per prompt (group size G)")
    learning_rate: PositiveFloat = Field(1e-6, description="AdamW's peak learning rate")
    beta: NonNegativeFloat = Field(0.04, description="KL coefficient β (Eq. 1)")
    epsilon: PositiveFloat = Field(0.2, description="clipping ε (Eq. 1)")
    temperature: Temperature = Field(1.0, gt=0.0, description="sampling temperature")
    max_completion_length: PositiveInt = Field(1024, description="longest completion, tokens")
    lr_scheduler_type: str = Field("cosine", description="learning-rate schedule, as transformers names it")
    warmup_steps: NonNegativeFloat = Field(
        0.1, description="learning-rate warmup: steps, or below 1 a fraction of them"
    )
    lora: LoraConfig | None = Field(None, description="train a LoRA adapter instead of all weights")
    report_to: Reporter | list[Reporter] = Field("none", description="where metrics go besides metrics.jsonl")
    trainer: dict[str, Any] = Field(default_factory=dict, description="any other field of TRL's GRPOConfig")

    @field_validator("trainer")
    @classmethod
    def _has_no_key_of_its_own(cls, trainer: dict[str, Any]) -> dict[str, Any]:
        check_fields(trainer, "warmup")
        return trainer


class WarmupConfig(GrpoConfig):
    """Stage 1, a short GRPO run on a random subset (§4.4, step 1)."""

    size: NonNegativeInt = Field(300, description="prompts drawn from the pool; 0 skips warmup and uses the base model")
    seed: Seed | None = Field(None, description="draws the subset; the run's seed when null")


class GainConfig(Section):
    """GAIN-RL's curriculum (Eq. 8 to 10)."""

    sigma: PositiveFloat | None = Field(None, description="σ of the Gaussian, in ranks; null: the prompts of one step")
    alpha: NonNegativeFloat = Field(2.0, description="α, sensitivity to accuracy; 0: the angle alone moves μ")
    beta: Fraction = Field(0.5, description="β, the accuracy aimed at")
    gamma: NonNegativeFloat = Field(
        0.5, description="γ, sensitivity to angle concentration; 0: the accuracy alone moves μ"
    )
    step_min: float | None = Field(
        None, description="the least step of μ, in ranks; null: Eq. 10 as it is, 0: never back, as the authors' code"
    )


class DynamicConfig(Section):
    """Dynamic sampling (DAPO)."""

    redraws: PositiveInt | None = Field(
        None, description="draws of a step after the first, in place of groups without spread; null: 9"
    )


class UntilConfig(Section):
    """When a training has converged: the mean reward of its last `patience` steps has stopped rising."""

    patience: PositiveInt = Field(description="steps: of the mean, and without a new best before training ends")
    min_delta: NonNegativeFloat = Field(
        0.01, description="a mean above the best by more than this reward is a new best"
    )


class AdarftConfig(Section):
    """ADARFT's curriculum: T ← clip(T + η tanh(α(R̄ − β)), d_min, d_max)."""

    difficulty: str | None = Field(
        None,
        description="the training file's column with each prompt's difficulty, or -COLUMN if higher is easier; null: "
        "from the run's success rates, d_min + (d_max − d_min)(1 − p)",
    )
    lowest: float = Field(0.0, description="d_min, the least difficulty and the least T")
    highest: float = Field(100.0, description="d_max, the greatest difficulty and the greatest T")
    start: float | None = Field(None, description="T at the first step; null: d_min")
    step_size: PositiveFloat = Field(50.0, description="η, how far T moves at most, in difficulty")
    sensitivity: PositiveFloat = Field(2.0, description="α, sensitivity to the reward")
    target_reward: Fraction = Field(0.5, description="β, the mean reward aimed at")

    @field_validator("highest")
    @classmethod
    def _above_lowest(cls, highest: float, info: ValidationInfo) -> float:
        if highest <= info.data.get("lowest", highest - 1):
            raise ValueError(f"it must be above train.adarft.lowest, {info.data['lowest']:g}")
        return highest

    @field_validator("start")
    @classmethod
    def _in_range(cls, start: float | None, info: ValidationInfo) -> float | None:
        if start is None:
            return None
        lowest, highest = info.data.get("lowest", start), info.data.get("highest", start)
        if not lowest <= start <= highest:
            raise ValueError(f"it must be from train.adarft.lowest, {lowest:g}, to train.adarft.highest, {highest:g}")
        return start


class TrainConfig(Section):
    """`learnalign train`, GRPO on a subset; keys that are null are the warmup's."""

    start: Literal["base", "policy"] = Field(
        "base", description="the model trained from; π_ref too, without model.reference"
    )
    seed: Seed | None = Field(None, description="of the order of the prompts and the sampling; null: the run's seed")
    curriculum: typing.Annotated[str, OneOf(CURRICULA)] = Field("shuffled", description="which prompts a step takes")
    algorithm: str = Field("grpo", description="how it trains", json_schema_extra=enumerated(ALGORITHMS))
    num_train_epochs: Epochs | None = Field(None, description="passes over the subset")
    steps: PositiveInt | None = Field(None, description="steps, in place of num_train_epochs")
    until: UntilConfig | None = Field(None, description="end earlier, at convergence; null: train all steps")
    keep_checkpoints: PositiveInt | None = Field(
        None,
        description="policies to keep, evenly spaced over the planned steps, the last among them; null: the last alone",
    )
    batch_size: Completions | None = Field(None, description="completions per step: prompts × num_generations")
    mini_batch_size: PositiveInt | None = Field(None, description="completions per optimiser update")
    num_generations: Completions | None = Field(None, description="completions per prompt (group size G)")
    learning_rate: PositiveFloat | None = Field(None, description="AdamW's peak learning rate")
    beta: NonNegativeFloat | None = Field(None, description="KL coefficient β (Eq. 1)")
    epsilon: PositiveFloat | None = Field(None, description="clipping ε (Eq. 1)")
    temperature: Temperature | None = Field(None, gt=0.0, description="sampling temperature")
    max_completion_length: PositiveInt | None = Field(None, description="longest completion, tokens")
    lr_scheduler_type: str | None = Field(None, description="learning-rate schedule, as transformers names it")
    warmup_steps: NonNegativeFloat | None = Field(None, description="steps, or a fraction of them below 1")
    lora: LoraConfig | Literal[False] | None = Field(None, description="a LoRA adapter; false: all weights")
    report_to: Reporter | list[Reporter] | None = Field(None, description="where metrics go besides metrics.jsonl")
    trainer: dict[str, Any] | None = Field(None, description="any other field of TRL's GRPOConfig")
    gain: GainConfig = GainConfig()
    dynamic: DynamicConfig = DynamicConfig()
    adarft: AdarftConfig = AdarftConfig()

    @field_validator("trainer")
    @classmethod
    def _has_no_key_of_its_own(cls, trainer: dict[str, Any] | None) -> dict[str, Any] | None:
        check_fields(trainer or {}, "train")
        return trainer

    @field_validator("algorithm")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name == "ppo":
            raise ValueError(
                "there is no PPO in TRL 1.16 (earlier ones needed a reward model in place of a verifier); take rloo, or train "
                "with verl's PPO and this program's curricula as its sampler, as learnalign/curriculum/verl.py says"
            )
        if name not in ALGORITHMS:
            raise ValueError(unknown(ALGORITHMS, name))
        return name

    def over(self, warmup: GrpoConfig) -> GrpoConfig:
        """The settings of the training: keys that are null here are the warmup's.

        The length is one setting: if `steps` or `num_train_epochs` is given here, the warmup's `steps` does not count.
        """
        fields = set(GrpoConfig.model_fields)
        own = {key: value for key, value in self.model_dump(include=fields).items() if value is not None}
        if own.get("lora") is False:
            own["lora"] = None
        length = {"steps": None} if own.keys() & {"steps", "num_train_epochs"} else {}
        return GrpoConfig.model_validate(warmup.model_dump(include=fields) | length | own)
