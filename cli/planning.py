"""`--dry-run`: can it run, and how much work is it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnalign.errors import counted
from learnalign.progress import duration

from .common import VERBOSE, print_json, print_table, resolve_config, size_text

if TYPE_CHECKING:
    from learnalign.config import Config
    from learnalign.limits import Strain
    from learnalign.plan import Plan, Work
    from learnalign.rates import Estimate
    from learnalign.rundir import RunDir


def show_plan(
    directory: Path,
    config: str | None,
    overrides: list[str] | None,
    as_json: bool,
    trust: bool,
    *checked: str,
    anyway: bool = True,
    slice: str | None = None,
) -> None:
    """Print the work of the three heavy stages, once they and further `checked` stages can work; nothing is written.

    Golds that are whole solutions are refused, as the command itself does, unless `anyway`. With a `slice` i/k, the work is that of
    all k, and its times those of k at once.
    """
    from learnalign.rundir import RunDir
    from learnalign.rundir import Slice as Part

    slices = Part.parse(slice).count if slice is not None else 1
    heavy = ["warmup", "rollout", "grad"]
    run = RunDir(directory, resolve_config(directory, config, overrides, trust))
    stale = [f"{name} ({'; '.join(differences)})" for name, differences in run.stale()]
    more = {"stale": stale} if stale else {}
    show_work(run.config, as_json, heavy, [*heavy, *checked], run, anyway=anyway, slices=slices, **more)


def show_work(
    config: Config,
    as_json: bool,
    stages: list[str],
    checked: list[str] | None = None,
    run: RunDir | None = None,
    *,
    anyway: bool = True,
    slices: int = 1,
    **more: Any,
) -> None:
    """Print the work of some stages, by the rates that `run` has measured; `more` is added to it, settings by --verbose."""
    from dataclasses import asdict

    from learnalign.plan import plan

    planned = plan(config, stages, checked, run, anyway=anyway, slices=slices)
    free = None if run is None else free_bytes(run.path)
    if as_json:
        config_ = config.model_dump(mode="json")
        print_json({**asdict(planned), "config": config_, **({} if free is None else {"free_bytes": free}), **more})
        return
    left = [one for one in planned.stages if run is None or not run.is_finished(one.stage)]
    needed = _needed(replace(planned, stages=left))
    print(_verdict(needed, free, stale=bool(more.get("stale"))))
    print_work(planned)
    if planned.chosen is not None:
        print(_choice(planned, run))
    if free is not None:
        print(f"disk: {size_text(needed)} at most, {size_text(free)} free")
    for name, value in more.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print_settings(config)


def _verdict(needed: int, free: int | None, stale: bool) -> str:
    """The first line: can it run, if it needs so many bytes?"""
    if stale:
        return "it cannot run here: stages were made with other settings (below); give --overwrite, or a new directory"
    if free is not None and needed > free:
        return "it may run out of disk (below); free some, or choose another place for the run directory; nothing else stands in the way"
    return "it can run: nothing stands in the way"


def _choice(planned: Plan, run: RunDir | None) -> str:
    """What select would choose, and of how many: those with V > 0, once they are known."""
    from learnalign.selection.methods import find_method
    from learnalign.summary import success_summary

    method = find_method(planned.config.select.method)
    words = f"select: {planned.chosen:,} of {counted(planned.prompts, 'prompt')} by method {method.name}"
    if not method.learnable:
        return words
    known = success_summary(run) if run is not None and run.is_finished("rollout") else None
    return words + (
        f", of the {known['learnable']:,} with V > 0"
        if known
        else ", if as many are solved sometimes, not always (V > 0)"
    )


def print_work(planned: Plan) -> None:
    """The pool and each stage's work as tables."""
    rows: list[list[Any]] = [["rows", planned.rows]]
    rows += [[f"left out: {reason}", count] for reason, count in planned.reasons.items()]
    rows += [["prompts", planned.prompts], ["tokens of a prompt", planned.prompt_tokens / max(1, planned.prompts)]]
    rows += [["parameters of the model", planned.parameters]] if planned.parameters else []
    print_table("pool", ["", "count"], rows)
    works = [
        [*_amounts(one, planned), None if one.memory_bytes is None else size_text(one.memory_bytes), str(one.time)]
        for one in planned.stages
    ]
    print_table("work", [*AMOUNTS, "memory at least", "time"], works)
    if shared := [one for one in planned.stages if one.workers > 1]:
        words = ", ".join(f"{one.stage} by {counted(one.workers, 'worker')}" for one in shared)
        print(f"at once, as executor.devices and --slice say: {words}")
    if any(one.time and not one.time.measured for one in planned.stages):
        print("times are rough, from the model's size and this machine; a finished stage's rate is used instead")


AMOUNTS = ["stage", "prompts", "steps at most", "tokens at most", "disk at most"]


def _amounts(one: Work, planned: Plan) -> list[Any]:
    return [one.stage, one.prompts, one.steps, one.tokens, size_text(_disk_of(one, planned), one.policies)]


def print_ahead(planned: Plan) -> None:
    """What `learnalign plan` shows: each stage's work, hours, disk and memory; where rates come from; what is assumed or breaks."""
    works = [
        [
            *_amounts(one, planned),
            None if one.memory_bytes is None else size_text(one.memory_bytes),
            hours_text(one.time),
        ]
        for one in planned.stages
    ]
    title = f"{counted(planned.prompts, 'prompt')} on {counted(planned.gpus, planned.device)}, {planned.parameters:,} parameters"
    print_table(title, [*AMOUNTS, f"memory of a {planned.device} at least", "hours"], works)
    for reason, count in planned.reasons.items():
        print(f"left out: {count:,} {reason}")
    print(f"all stages: {hours_text(planned.time)} hours, {size_text(_needed(planned))} of disk at most")
    print(f"select: {planned.chosen:,} prompts at most by method {planned.config.select.method}")
    for one in planned.stages:
        for source in one.time.sources if one.time else ():
            print(f"rate of {one.stage}: {source}")
    for line in [*_gpu_lines(planned), *_memory_lines(planned)]:
        print(line)
    for line in planned.assumed:
        print(f"assumed: {line}")
    breaking = [strain for strain in planned.strains if strain.share >= 1]
    for strain in breaking:
        print(f"breaks: {strain_text(strain)}; what helps: {strain.way}")
    if not breaking:
        print(f"breaks first if the pool grows: {strain_text(planned.strains[0])}")


def _gpu_lines(planned: Plan) -> list[str]:
    """What more GPUs, or other devices, do not help with."""
    if planned.gpus == 1:
        return []
    device = planned.device
    hours = {one.stage: hours_text(one.time) for one in planned.stages if one.prompts}
    lines = []
    if "warmup" in hours:
        lines.append(
            f"warmup is counted on one {device} ({hours['warmup']} hours); accelerate launch shares it among those of a machine, how well "
            "is not measured"
        )
    shards = -(-planned.prompts // planned.config.executor.shard_size)
    if shards < planned.gpus:
        lines.append(
            f"rollout and grad are {counted(shards, 'shard')}, and no more {device}s help; a smaller executor.shard_size makes more"
        )
    return [*lines, f"more {device}s do not help select ({hours['select']} hours)"]


GPU_BYTES = 80e9  # of an H100
LARGER = {
    "warmup": "accelerate launch with fsdp.yaml on several GPUs, or warmup.lora",
    "rollout": "rollout.vllm.tensor_parallel_size",
    "grad": "model.device_map: auto on several GPUs",
}


def _memory_lines(planned: Plan) -> list[str]:
    """Stages that a GPU of 80 GB is too small for, and what helps."""
    large = [one for one in planned.stages if (one.memory_bytes or 0) > GPU_BYTES]
    return [
        f"{one.stage} needs more than a GPU of {size_text(GPU_BYTES)}: {size_text(one.memory_bytes)}; what helps: {LARGER[one.stage]}"
        for one in large
    ]


def strain_text(strain: Strain) -> str:
    """What grows, how much it is, and the limit that is taken for it."""
    amounts = [
        counted(round(value), "file")
        if strain.unit == "files"
        else duration(value)
        if strain.unit == "seconds"
        else size_text(value)
        for value in (strain.amount, strain.limit)
    ]
    return f"{strain.what}: {amounts[0]} (limit: {amounts[1]})"


def hours_text(time: Estimate | None) -> str:
    """A range of hours in two digits."""
    if time is None:
        return ""
    if 0 < time.high < 36:
        return "under 0.01"
    hours = time.low / 3600, time.high / 3600
    low, high = (two_digits(each) if each >= 0.1 else f"{each:.2g}" if each >= 0.01 else "0" for each in hours)
    return low if low == high else f"{low} to {high}"


def two_digits(number: float) -> str:
    """0.83, 6.1, 1,400."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _needed(planned: Plan) -> int:
    """Bytes of all stages' files at most, at any time: checkpoints and sums are gone when the next stage begins."""
    kept = most = 0
    for one in planned.stages:
        most = max(most, kept + (_disk_of(one, planned) or 0))
        kept += _disk_of(replace(one, checkpoints=0, sums=0), planned) or 0
    return most


def _disk_of(work: Work, planned: Plan) -> int | None:
    """Bytes of a stage's files while it works; a policy's weights are stored in float32, a checkpoint has AdamW's moments too."""
    from learnalign.limits import SUM_BYTES
    from learnalign.training.checkpoints import CHECKPOINT_BYTES, POLICY_BYTES

    if planned.parameters is None:
        return work.disk_bytes
    sums = SUM_BYTES * work.sums * max(work.workers, planned.gpus)
    each = POLICY_BYTES * (work.policies or 0) + CHECKPOINT_BYTES * work.checkpoints + sums
    return (work.disk_bytes or 0) + planned.parameters * each


def free_bytes(directory: Path) -> int:
    """Free space of the disk that a directory is or will be on."""
    place = directory.resolve()
    return shutil.disk_usage(next(each for each in (place, *place.parents) if each.is_dir())).free


def print_settings(config: Config) -> None:
    """Every resolved setting, if they are asked for."""
    if VERBOSE in sys.argv:
        from learnalign.config import dump_config

        print(dump_config(config), end="")
    else:
        print(f"every setting: {VERBOSE}")
