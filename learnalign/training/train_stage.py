"""GRPO on a chosen subset, with the warmup's trainer: `learnalign train`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from learnalign.config import Config, WarmupConfig, build_config
from learnalign.curriculum import Curriculum, Shuffled
from learnalign.curriculum.adarft import Adarft, difficulties
from learnalign.curriculum.angles import Angles
from learnalign.curriculum.gain import Gain, GaussianSampler, rank_by_angle
from learnalign.errors import InputError
from learnalign.policy import is_adapter, load_tokenizer, model_path, policy_path
from learnalign.prompts import Prompt, load_prompts
from learnalign.rundir import RunDir, file_name
from learnalign.rundir.files import write_parquet
from learnalign.rundir.stages import digest_of
from learnalign.training.job import Job, Outcome, optimise
from learnalign.training.rewards import Visit
from learnalign.training.saving import merge_adapter
from learnalign.training.settings import groups_per_step


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The trained policy (a model or adapter directory) and the rewards of every prompt by epoch."""

    name: str
    policy: Path
    metrics: Path
    rewards: Path
    prompts: int
    left_out: int
    steps: int
    unscored: int


def train(
    run: RunDir,
    subset: str | Path,
    name: str | None = None,
    *,
    curriculum: str | None = None,
    start: str | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """Train with GRPO on the prompts of `subset`, as `run.config.train` says, and leave DIR/train/NAME.

    Args:
        run: names the model, the columns of the subset (its `data` section) and the verifier.
        subset: a file with rows like the pool's, such as DIR/subset.jsonl, or anything else that `data.path` may be.
        name: of the directory; the subset's name and the curriculum's where None.
        curriculum: shuffled, gain or adarft, in place of `train.curriculum`.
        start: base or policy, in place of `train.start`.
        overwrite: delete DIR/train/NAME first.

    DIR/train/NAME is a run directory of its own, whose pool is the subset: prompts.parquet, quarantine.jsonl, run.json;
    policy/ is a Hugging Face directory (or an adapter) with metrics.jsonl; rewards.parquet has id, epoch, correct,
    scored: one row for each visit of a prompt. Checkpoints lie in work/ while it runs; an interrupted training goes on
    and ends bitwise the same.

    Raises InputError for settings, subsets or signals that do not fit, RunError for a training that cannot go on.
    """
    config = sub_config(run.config, subset, curriculum, start)
    name = file_name(name or default_name(subset, config))
    sub = run.child("train", name, config, overwrite=overwrite)
    prompts = load_prompts(sub)
    policy, rewards = sub.path / "policy", sub.path / "rewards.parquet"
    model = model_path(run.config) if config.train.start == "base" else policy_path(run)
    digest = digest_of(Path(model)) if Path(model).is_dir() else model
    if sub.is_finished("train"):
        entry = sub.read_record()["stages"]["train"]
        if entry["start_digest"] != digest:
            raise InputError(
                f"{sub.path} was trained from another {config.train.start} than there is now; --overwrite to "
                "train it again, or choose another --name"
            )
        counts = entry["counts"]
    else:
        with sub.stage("train") as record:
            outcome = _optimise(run, sub, prompts, model, digest, policy)
            write_parquet(rewards, rewards_table(outcome.visits), sub.fingerprint("train"))
            counts = {"prompts": len(prompts), "steps": outcome.steps, "unscored": outcome.unscored}
            record.counts |= counts
            record.notes |= {"start": model, "start_digest": digest}
            record.notes |= {"resumed_steps": outcome.resumed, "disk_bytes": outcome.disk_bytes}
    left_out = sub.read_record()["stages"]["pool"]["counts"]["left_out"]
    return TrainResult(
        name=name, policy=policy, metrics=policy / "metrics.jsonl", rewards=rewards, left_out=left_out, **counts
    )


def default_name(subset: str | Path, config: Config) -> str:
    """The subset's file name without its ending, and the curriculum's name where there is one."""
    stem = re.sub(r"[^\w.-]+", "-", Path(str(subset).rstrip("/")).stem)
    curriculum = config.train.curriculum
    return stem if curriculum == "shuffled" else f"{stem}-{curriculum}"


def sub_config(config: Config, subset: str | Path, curriculum: str | None = None, start: str | None = None) -> Config:
    """Settings of the run directory of a training: the pool is the subset, `train` has no nulls left."""
    path = Path(subset).expanduser()
    data = {"path": str(path.resolve()) if path.exists() else str(subset), "limit": None}
    settings = config.model_dump()
    for key, value in settings["train"].items():
        if value is None:
            settings["train"][key] = settings["warmup"][key]
    settings["train"]["lora"] = settings["train"]["lora"] or False
    settings["train"] |= {"curriculum": curriculum or config.train.curriculum, "start": start or config.train.start}
    settings["data"] |= data
    settings["warmup"] = WarmupConfig().model_dump()
    return build_config(settings, source="train")


def grpo_settings(config: Config) -> WarmupConfig:
    """The `train` section of `sub_config` as the settings of a GRPO job."""
    own = config.train.model_dump(exclude={"start", "curriculum", "gain"})
    return WarmupConfig.model_validate({**own, "lora": own["lora"] or None})


def _optimise(run: RunDir, sub: RunDir, prompts: Sequence[Prompt], start: str, digest: str, policy: Path) -> Outcome:
    settings = grpo_settings(sub.config)
    begin = start
    if is_adapter(start):
        begin = str(sub.path / "start")
        merge_adapter(run.config, Path(start), sub.path / "start")
    outcome = optimise(
        sub,
        Job(
            section="train",
            settings=settings,
            prompts=prompts,
            curriculum=_curriculum(run, sub, settings, prompts),
            start=begin,
            work=sub.path / "work" / "train" / digest.replace("/", "-"),  # another start, other checkpoints
            output=policy,
        ),
    )
    shutil.rmtree(sub.path / "work", ignore_errors=True)
    if begin != start and settings.lora is None:  # an adapter goes on needing the model it sits on
        shutil.rmtree(begin)
    return outcome


def _curriculum(run: RunDir, sub: RunDir, settings: WarmupConfig, prompts: Sequence[Prompt]) -> Curriculum:
    ids, seed = [prompt.id for prompt in prompts], sub.config.seed
    if sub.config.train.curriculum == "adarft":
        return Adarft(difficulties(run, ids), seed)
    if sub.config.train.curriculum == "gain":
        order = rank_by_angle(run, ids)
        sampler = GaussianSampler(
            len(ids), groups_per_step(settings, "train"), seed, **sub.config.train.gain.model_dump()
        )
        return Gain(order, sampler, Angles(prompts, load_tokenizer(sub.config), run.config.signal))
    return Shuffled(len(prompts), seed)


def rewards_table(visits: Sequence[Visit]) -> pa.Table:
    """Columns id, epoch, correct, scored: one row for each visit, in the order of training."""
    kinds = [("id", pa.string()), ("epoch", pa.int32()), ("correct", pa.int32()), ("scored", pa.int32())]
    return pa.table({name: [getattr(visit, name) for visit in visits] for name, _ in kinds}, schema=pa.schema(kinds))
