"""GRPO on a chosen subset, with the warmup's trainer: `learnalign train`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.config import Config, WarmupConfig, apply_overrides, build_config, flatten
from learnalign.errors import InputError
from learnalign.policy import is_adapter, model_digest, model_path, policy_path, reference_path
from learnalign.prompts import Prompt, elsewhere, load_prompts
from learnalign.rundir import RunDir, check_inside, default_file_name, file_name
from learnalign.rundir.files import remove, write_parquet
from learnalign.training.kept import POLICIES, step_of
from learnalign.training.steps import groups_per_step

if TYPE_CHECKING:
    import pyarrow as pa

    from learnalign.curriculum import Curriculum
    from learnalign.training.job import JobResult
    from learnalign.training.rewards import Visit

SHARED = ("model.name", "model.revision", "model.adapter")  # what the run's results are of
UNUSED = ("rollout", "grad", "select", "eval", "warmup.size", "warmup.seed")


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The trained policy (a model or adapter directory), all kept ones by step, and every prompt's rewards by epoch.

    `ended` says why: epochs, steps (`train.steps`) or converged (`train.until`); `curriculum` has the numbers that the curriculum
    ended with: μ, the target, dropped groups.
    """

    name: str
    policy: Path
    policies: dict[int, Path]
    metrics: Path
    rewards: Path
    prompts: int
    left_out: int
    steps: int
    ended: str
    unscored: int
    curriculum: dict[str, float]


def train(
    run: RunDir,
    subset: str | Path,
    name: str | None = None,
    *,
    curriculum: str | None = None,
    start: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> TrainResult:
    """Train with GRPO or RLOO on the prompts of `subset`, with the settings of `run.config.train`, and write DIR/train/NAME.

    Args:
        run: names the model, π_ref if it is not the start (`model.reference`), the columns of the subset (its `data`
            section) and the verifier.
        subset: a file with rows like the pool's, such as DIR/subset.jsonl, or anything else that `data.path` may be.
        name: of the directory; None: the subset's file name, the curriculum's unless it is shuffled, and seedS for another seed
            than the run's.
        curriculum: shuffled, gain, adarft, accuracy or dynamic; replaces `train.curriculum`.
        start: base or policy; replaces `train.start`.
        seed: of the order of the prompts and the sampling; replaces `train.seed`.
        overrides: `key=value` on the training's settings, such as train.steps=100; the run's stay as they are.
        overwrite: replace DIR/train/NAME by a new training, once it is done.

    DIR/train/NAME is a run directory of its own, whose pool is the subset: prompts.parquet, quarantine.jsonl, run.json;
    policy/ is a Hugging Face directory (or an adapter) with metrics.jsonl, policies/step-000050 and so on are those kept on
    the way (`train.keep_checkpoints`); rewards.parquet has id, epoch, correct, scored: one row for each visit of a prompt.
    Checkpoints are in work/ while it runs; an interrupted training resumes
    and ends bitwise the same.

    Raises InputError for an invalid setting, subset or signal, RunError for a training that cannot continue.
    """
    config = sub_config(run.config, subset, curriculum, start, seed, overrides)
    labels = [] if config.train.curriculum == "shuffled" else [config.train.curriculum]
    labels += [] if config.seed == run.config.seed else [f"seed{config.seed}"]
    name = file_name(name or default_file_name(subset, *labels))
    with run.child("train", name, config, overwrite=overwrite) as sub:
        subset = str(Path(subset).resolve()) if Path(subset).exists() else str(subset)
        own = {"curriculum": config.train.curriculum, "start": config.train.start, "seed": config.seed}
        sub.note_command("train", subset=subset, name=name, **own, set=list(overrides))
        _train(run, sub)
    stages = sub.read_record()["stages"]
    entry, counts = stages["train"], stages["train"]["counts"]
    kept = entry.get("policies", {str(counts["steps"]): "policy"})  # of a version that kept the last alone
    return TrainResult(
        name=name,
        policy=sub.path / "policy",
        policies={int(step): sub.path / path for step, path in kept.items()},
        metrics=sub.path / "policy" / "metrics.jsonl",
        rewards=sub.path / "rewards.parquet",
        left_out=stages["pool"]["counts"]["left_out"],
        ended=entry.get("ended", "epochs"),
        curriculum=entry.get("curriculum", {}),
        **counts,
    )


def _train(run: RunDir, sub: RunDir) -> None:
    """Train in the run directory `sub`, unless that is done."""
    prompts, config = load_prompts(sub), sub.config
    model = model_path(run.config) if config.train.start == "base" else policy_path(run)
    digest = model_digest(model)
    if sub.is_finished("train"):
        entry = sub.read_record()["stages"]["train"]
        if entry["start_digest"] != digest:
            raise InputError(
                f"{sub.path} was trained from another {config.train.start} than the current one; pass --overwrite to "
                "train it again, or choose another --name"
            )
    else:
        sampler = _curriculum(run, sub.config, prompts)  # may refuse, before this training is recorded as begun
        with sub.stage("train") as record:
            result = _optimise(run, sub, prompts, sampler, model, digest)
            write_parquet(sub.path / "rewards.parquet", rewards_table(result.visits), sub.fingerprint("train"))
            record.counts |= {"prompts": len(prompts), "steps": result.steps, "unscored": result.unscored}
            record.notes |= {
                "ended": result.ended,
                "policies": _policies(sub, result.steps),
                "curriculum": sampler.metrics(),
            }
            record.notes |= {
                "start": model,
                "start_digest": digest,
                "reference": _reference(sub.config, model) or model,
            }
            record.notes |= {"resumed_steps": result.resumed, "disk_bytes": result.disk_bytes}


def _policies(sub: RunDir, steps: int) -> dict[str, str]:
    """The kept policies' directories in that of the training, by step; the last one is `policy`."""
    kept = sorted((sub.path / POLICIES).glob("step-*"))
    return {str(step_of(path)): str(path.relative_to(sub.path)) for path in kept} | {str(steps): "policy"}


def sub_config(
    config: Config,
    subset: str | Path,
    curriculum: str | None = None,
    start: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
) -> Config:
    """Settings of a training's run directory: the pool is the subset, and warmup's values replace the nulls of `train`.

    Raises InputError for `overrides` that a training does not follow.
    """
    path = Path(subset).expanduser()
    pool = config.model_copy(update={"data": elsewhere(config.data, path.resolve() if path.exists() else subset)})
    own = build_config(apply_overrides(pool.model_dump(mode="json"), overrides), "train", overrides)
    _check_overrides(pool, own)
    settings, grpo = own.model_dump(), own.train.over(own.warmup)
    settings["train"] |= {**grpo.model_dump(), "lora": grpo.model_dump()["lora"] or False}
    settings["train"] |= {"curriculum": curriculum or own.train.curriculum, "start": start or own.train.start}
    settings["seed"] = next(each for each in (seed, own.train.seed, own.seed) if each is not None)
    settings["train"]["seed"] = None  # so that a training has one fingerprint however its seed was given
    settings["warmup"] = WarmupConfig().model_dump()
    return build_config(settings, source="train")


def _check_overrides(run: Config, own: Config) -> None:
    """Raise InputError if the settings of a training, `own`, differ from the run's in what it shares with it, or does not use."""
    before, after = (flatten(config.model_dump(mode="json")) for config in (run, own))
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) == after.get(key):
            continue
        if key == "data.path":
            raise InputError("--set data.path: a training takes the prompts of --subset; name the file there")
        if key in SHARED:
            raise InputError(
                f"--set {key}: a training starts from the model of its run directory; train in a directory of another model"
            )
        if key in UNUSED or key.partition(".")[0] in UNUSED:
            raise InputError(
                f"--set {key}: it changes no training; leave it out, or give it to the command that uses it"
            )


def _curriculum(run: RunDir, config: Config, prompts: Sequence[Prompt]) -> Curriculum:
    module = importlib.import_module(f"learnalign.curriculum.{config.train.curriculum}")
    run = RunDir(run.path, run.config.model_copy(update={"signal": config.signal}))  # read as the training says
    return module.make(run, config, prompts, groups_per_step(config.train.over(config.warmup), "train"))


def _optimise(
    run: RunDir,
    sub: RunDir,
    prompts: Sequence[Prompt],
    curriculum: Curriculum,
    start: str,
    digest: str,
) -> JobResult:
    from learnalign.training.job import Job, optimise  # seconds of imports, needed only to train
    from learnalign.training.saving import merge_adapter

    settings = sub.config.train.over(sub.config.warmup)
    work = sub.path / "work" / "train" / digest.replace("/", "-")
    check_inside(sub.path, work)
    for other in work.parent.glob("*"):
        if other != work:  # checkpoints of another start; Kept deletes the policies that it kept
            remove(other)
    begin = start
    if is_adapter(start):
        begin = str(sub.path / "start")
        merge_adapter(sub.config, Path(start), sub.path / "start")
    job = Job(
        section="train",
        settings=settings,
        prompts=prompts,
        curriculum=curriculum,
        start=begin,
        reference=_reference(sub.config, start),
        algorithm=sub.config.train.algorithm,
        until=sub.config.train.until,
        keep=sub.config.train.keep_checkpoints,
        work=work,
        output=sub.path / "policy",
    )
    result = optimise(sub, job)
    remove(sub.path / "work")
    if begin != start and settings.lora is None:  # an adapter still needs the model below it
        remove(Path(begin))
    return result


def _reference(config: Config, start: str) -> str | None:
    """`model.reference`, unless it is the model at `start` or null."""
    path = reference_path(config)
    own = path == start and config.model.is_reference
    return None if own or config.model.reference is None else path


def rewards_table(visits: Sequence[Visit]) -> pa.Table:
    """Columns id, epoch, correct, scored: one row for each visit, in the order of training."""
    import pyarrow as pa

    kinds = [("id", pa.string()), ("epoch", pa.int32()), ("correct", pa.int32()), ("scored", pa.int32())]
    return pa.table({name: [getattr(visit, name) for visit in visits] for name, _ in kinds}, schema=pa.schema(kinds))
