"""Every setting: frozen pydantic models, no torch. Defaults are the paper's (LearnAlign, §5.1 and Table 6)."""

from __future__ import annotations

import re
import typing
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from learnalign.config.data import DataConfig
from learnalign.config.section import (
    Amount,
    Completions,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    OneOf,
    PositiveFloat,
    PositiveInt,
    Section,
    Seed,
    Temperature,
    enumerated,
)
from learnalign.config.training import TrainConfig, WarmupConfig
from learnalign.names import CASCADES, ENGINES, FORMATS, METHODS, PROJECTIONS, VERIFIERS, unknown


class ModelConfig(Section):
    """The base model, which is also the reference π_ref unless `reference` names another."""

    name: str = Field(description="Hugging Face directory or hub name; `demo` is the embedded model")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    adapter: str | None = Field(None, description="PEFT adapter that turns it into the policy, with `warmup.size: 0`")
    reference: str | None = Field(
        None,
        description="directory or hub name of π_ref, a whole model; null: this model (in `train`: the one trained from)",
    )
    reference_revision: str | None = Field(None, description="branch, tag or commit of a hub reference")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: the checkpoint's own; on a CPU that has no instructions for it, float32"
    )
    attn: str = Field("sdpa", description="attention implementation, as transformers names it")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")
    device_map: Literal["auto"] | None = Field(
        None,
        description="auto: `grad` spreads a model that is larger than a GPU over all GPUs, or `executor.gpus_per_worker`, layer by layer; "
        "null: one device",
    )
    kernels: Literal["off", "auto", "compile"] = Field(
        "off",
        description="norms, rotary embeddings and gated MLPs fused by torch.compile in `grad`; auto: on a GPU, if triton is installed; "
        "compile: on a CPU too",
    )

    @property
    def is_reference(self) -> bool:
        """Whether the base model, without adapter and warmup, is π_ref."""
        return self.reference is None or (self.reference, self.reference_revision) == (self.name, self.revision)


class RolloutConfig(Section):
    """Stage 3, G sampled completions of every prompt (§4.4, step 3)."""

    engine: typing.Annotated[str, OneOf({"auto": "vllm if it is installed, else transformers", **ENGINES})] = Field(
        "auto", description="what samples"
    )
    num_generations: Completions = Field(8, description="rollouts per prompt (group size G)")
    temperature: Temperature = Field(
        1.0, description="sampling temperature, also of the gradients' log-probabilities; 0 is greedy, for one rollout"
    )
    top_p: typing.Annotated[float, Field(gt=0.0, le=1.0)] = Field(1.0, description="nucleus")
    max_completion_length: PositiveInt = Field(1024, description="longest completion, tokens")
    adaptive: bool = Field(False, description="stop a group early when more samples cannot matter")
    vllm_seeds: Literal["engine", "per-sample"] = Field(
        "engine",
        description="per-sample: each completion has a seed of its own, so that sampling again gives the same, slower on a GPU",
    )
    vllm: dict[str, Any] = Field(default_factory=dict, description="any argument of vLLM's engine")

    @field_validator("temperature")
    @classmethod
    def _greedy_once(cls, temperature: float, info: ValidationInfo) -> float:
        if temperature == 0 and info.data.get("num_generations", 1) > 1:
            raise ValueError("a temperature of 0 gives the same completion every time; take num_generations 1")
        return temperature


def words_of(modules: str) -> list[str]:
    """The words and patterns of `grad.modules`; raises ValueError if there are none."""
    words = [word.strip() for word in modules.split(",") if word.strip()]
    if not words:
        raise ValueError(
            "it names nothing; give all, linear, norms, embedding, head or patterns of linear layers' names"
        )
    return words


class CascadeConfig(Section):
    """The two-stage cascade (App. G.2): gradients of the K prompts that a cheap signal is highest for, among those that would have one."""

    signal: typing.Annotated[str, OneOf(CASCADES)] = Field(
        "learnability", description="what chooses them, the highest values first"
    )
    keep: Amount = Field(description="prompts to keep (K), or a fraction of the pool")


class GradConfig(Section):
    """Stage 2, the projected GRPO gradient of every learnable prompt (§4.4, step 2)."""

    rollouts: Literal["one-correct", "all"] = Field("one-correct", description="rollouts whose gradients are averaged")
    prompts: Literal["learnable", "correct"] = Field(
        "learnable", description="learnable: V > 0; correct: p > 0, for scores without learnability"
    )
    beta: NonNegativeFloat = Field(0.04, description="KL coefficient β of Eq. 7; 0 needs no reference model")
    projection: typing.Annotated[str, OneOf(PROJECTIONS)] = Field(
        "kronecker", description="how gradients become features"
    )
    dim: PositiveInt = Field(8192, le=1 << 20, description="entries of a stored feature")
    feature_dtype: Literal["float16", "float32"] = Field(
        "float16", description="precision of stored features; norms are float32"
    )
    width: PositiveInt = Field(
        160, le=1 << 10, description="kronecker: entries to which a layer's input and output are projected"
    )
    modules: str = Field(
        "all",
        description="parameters whose gradients are taken: all; or of linear (layers of the blocks), norms, embedding, head and "
        "patterns of linear layers' names, several with commas",
    )
    cascade: CascadeConfig | None = Field(
        None,
        description="take gradients of the K prompts alone that a cheap signal is highest for; the others are skipped",
    )
    batch_tokens: PositiveInt | Literal["auto"] = Field("auto", description="tokens of one batch, padding included")
    max_bad: Fraction = Field(
        0.01, description="share of bad gradients (NaN, infinite, zero) above which the stage fails"
    )

    @field_validator("modules")
    @classmethod
    def _names_something(cls, modules: str) -> str:
        words_of(modules)
        return modules


class SignalConfig(Section):
    """Other per-prompt numbers, for the methods that LearnAlign is compared with."""

    policy: str = Field(
        "policy", description="the model that values are of: policy, base, train/NAME, or a model directory"
    )
    angle_weight: NonNegativeFloat = Field(1.0, description="c of C = C_intra + c·C_inter (GAIN-RL, App. F.1)")
    selectit_models: list[str] = Field(
        default_factory=list, description="more models that rate for SelectIT, weighted by their parameters"
    )
    train: str | None = Field(None, description="training under DIR/train whose rewards LIMR reads; null: the only one")
    batch_tokens: PositiveInt = Field(16384, description="tokens of one batch, padding included")


class SelectConfig(Section):
    """Stage 4, the top N by score (Eq. 8)."""

    size: Amount = Field(1000, description="prompts to choose, or a fraction of the pool")
    method: typing.Annotated[str, OneOf(METHODS)] = Field("learnalign", description="how to rank")
    seed: Seed | None = Field(None, description="of methods that draw, and of --diversity; null: the run's seed")
    scoring: Literal["auto", "matrix", "centroid"] = Field("auto", description="two exact ways to the same row means")
    format: typing.Annotated[str, OneOf(FORMATS)] = Field("messages", description="of the subset file")


class EvalConfig(Section):
    """`learnalign eval`, a policy on a test set."""

    policy: str = Field("policy", description="policy, base, train/NAME, train/NAME@STEP, or a model directory")
    metric: str | None = Field(
        None,
        pattern=r"^(greedy|(pass|avg)@[1-9][0-9]*)$",
        description="the headline: greedy (accuracy without sampling), pass@K or avg@K of sampled completions; null: greedy at "
        "temperature 0, else pass@1",
    )
    num_generations: Completions = Field(1, description="completions per question")
    temperature: Temperature | None = Field(
        None,
        description="sampling temperature, 0 = greedy; null: rollout.temperature, or 0 for one completion if the metric is not "
        "pass@K or avg@K",
    )
    top_p: typing.Annotated[float, Field(gt=0.0, le=1.0)] = Field(1.0, description="nucleus")
    max_completion_length: PositiveInt | None = Field(None, description="longest completion, tokens; null: rollout's")
    rounds: PositiveInt = Field(
        1, description="evaluations with seeds of their own, for mean ± std (LearnAlign, App. E)"
    )
    seed: Seed | None = Field(None, description="of the sampling; round r takes seed + r − 1; null: the run's seed")
    questions: PositiveInt | None = Field(
        None, description="rows that the test set must have, usable or not; null: any number"
    )


class VerifierLimits(Section):
    """Limits of the programs that the verifier `code` runs; tests of a row may have others."""

    seconds: PositiveFloat = Field(
        6.0, description="CPU time of one test, s; by the clock it may take three times as long and 2 s"
    )
    total_seconds: PositiveFloat = Field(60.0, description="all tests of a completion, s by the clock")
    memory: PositiveInt = Field(2**30, description="memory of one test, bytes")
    at_once: PositiveInt | None = Field(
        None, description="programs that run at once; null: one per CPU (local), 16 (a service)"
    )


class ExecutorConfig(Section):
    """Which worker does which shard."""

    kind: Literal["local", "ray"] = Field(
        "local", description="where shards are computed: this machine, or a Ray cluster"
    )
    devices: Literal["auto"] | PositiveInt | list[NonNegativeInt] = Field(
        "auto",
        description="workers: auto, one per GPU that is there (without any: one; Ray: one per machine); a number of them; "
        "or GPUs by number",
    )
    gpus_per_worker: PositiveInt = Field(1, description="GPUs of one worker, of a model that needs several")
    address: str | None = Field(
        None,
        description="of a Ray cluster; null: RAY_ADDRESS, or else a cluster of this machine, started for the command",
    )
    shard_size: PositiveInt = Field(256, description="prompts per shard, the unit of work and of resume")


class Config(Section):
    """All settings of a run."""

    seed: Seed = Field(0, description="seeds the subset draw, the sampling and the projection")
    model: ModelConfig
    data: DataConfig
    verifier: str = Field(
        "math",
        description="what decides whether a completion is correct",
        json_schema_extra={
            "anyOf": [
                enumerated(VERIFIERS),
                {"type": "string", "pattern": ":", "examples": ["package.module:function"]},
            ]
        },
    )
    verifier_sandbox: str | None = Field(
        None,
        validate_default=True,
        description="where the verifier `code` runs programs: local (bubblewrap on this machine), or the URL of SandboxFusion "
        "(http://HOST:8080) or Piston (http://HOST:2000/api/v2)",
    )
    verifier_limits: VerifierLimits = VerifierLimits()
    warmup: WarmupConfig = WarmupConfig()
    rollout: RolloutConfig = RolloutConfig()
    grad: GradConfig = GradConfig()
    signal: SignalConfig = SignalConfig()
    select: SelectConfig = SelectConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    executor: ExecutorConfig = ExecutorConfig()

    @field_validator("verifier")
    @classmethod
    def _is_known(cls, verifier: str) -> str:
        if ":" not in verifier and verifier not in VERIFIERS:
            raise ValueError(f"{unknown(VERIFIERS, verifier)}, or package.module:function for your own")
        return verifier

    @field_validator("verifier_sandbox")
    @classmethod
    def _is_a_place(cls, sandbox: str | None, info: ValidationInfo) -> str | None:
        if sandbox is None and info.data.get("verifier") == "code":
            raise ValueError("the verifier code runs programs: set local, or the URL of SandboxFusion or Piston")
        if sandbox not in (None, "local") and not re.match(r"https?://[^/\s]+", sandbox or ""):
            raise ValueError(f"{sandbox!r} is neither local nor a URL (http://…)")
        return sandbox
