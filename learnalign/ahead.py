"""`learnalign plan`: the work of a run and its hours on any number of GPUs, before pool, weights or a run directory are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from learnalign import demo
from learnalign.config import Config
from learnalign.errors import InputError, counted
from learnalign.limits import select_seconds, strains
from learnalign.names import SIGNALS
from learnalign.plan import SHARED, Plan, PoolSize, Work, chosen_of, kept_of, passes_of, read_source, work
from learnalign.policy import ModelSize, model_path, model_size
from learnalign.progress import duration
from learnalign.rates import FAR, Estimate, core, estimate, estimate_published, gpu, rates_of

if TYPE_CHECKING:
    from learnalign.rundir import RunDir

STAGES = ("warmup", "rollout", "grad", "select")
PROMPT_TOKENS = 150  # of a prompt of a pool that is not there
LONGEST_START = 60.0  # seconds of a measured stage that may have been its start, which a larger pool needs but once
_MEASURED = "measured in"


def plan_ahead(config: Config, *, rows: int | None = None, gpus: int = 1, run: RunDir | None = None) -> Plan:
    """The work of all four stages on `gpus` GPUs before anything is there: neither weights nor, if `rows` are given, the pool.

    Rates are those that `run` has measured, on whatever machine, scaled by parameters if its model is another, of at most ten times
    more or fewer; then published ones (published_rates.yaml); then rough ones from the model's size. Raises InputError if the pool
    cannot be read and no `rows` are given, or the model's size is not known.
    """
    size = model_size(config)
    assumed = []
    if rows is None:
        try:
            read = read_source(config)
        except InputError as error:
            raise InputError(f"{error}; to plan without the pool, give its rows with --rows N") from None
        count, left_out, reasons, pool = read.rows, len(read.left_out), read.reasons, read.size
    else:
        prompts = min(rows, config.data.limit or rows)
        count, left_out, reasons, pool = rows, 0, {}, PoolSize(prompts, prompts * PROMPT_TOKENS)
        assumed.append(f"{PROMPT_TOKENS} tokens a prompt, and that every row is one")
    works = [work(stage, config, pool, size) for stage in STAGES]
    works = [replace(one, time=_time(one, pool.prompts, config, size, gpus, run)) for one in works]
    kept = next(one.prompts for one in works if one.stage == "grad")
    return Plan(
        config=config,
        rows=count,
        left_out=left_out,
        prompts=pool.prompts,
        prompt_tokens=pool.tokens,
        stages=works,
        reasons=reasons,
        parameters=size.parameters,
        chosen=chosen_of(config, pool),
        gpus=gpus,
        device=_device(config, works, run),
        assumed=[*assumed, *_assumed(config, works, size, run)],
        strains=strains(config, pool.prompts, kept),
    )


def _time(work: Work, prompts: int, config: Config, size: ModelSize, gpus: int, run: RunDir | None) -> Estimate:
    """Of one stage on a pool of so many prompts, with the GPUs that can share it."""
    if not work.prompts:
        return Estimate(low=0, high=0, measured=True, sources=("no work",))
    if work.stage == "select":
        seconds = select_seconds(config, work.prompts, kept_of(config, work.prompts))
        sources = ("measured with this version on one core of an AMD EPYC",)
        return Estimate(low=seconds / 2, high=3 * seconds + 10, measured=False, sources=sources)
    time = _measured(work, prompts, config, size, run) or estimate_published(work, size.parameters)
    if time is None:
        embedded = model_path(config) == str(demo.MODEL)
        machine = core(size.parameters) if embedded else gpu("H100", size.parameters)
        time = estimate(work, config, machine, {})
        device = "a CPU core" if embedded else "an H100"
        time = replace(time, sources=tuple(f"{source} and the peak of {device}" for source in time.sources))
    if work.stage not in SHARED:
        return time
    return time.over(gpus, -(-prompts // config.executor.shard_size))


def _measured(work: Work, prompts: int, config: Config, size: ModelSize, run: RunDir | None) -> Estimate | None:
    """By the rate that a run has of this stage, on a pool of so many prompts; None if it has none."""
    record = run.read_record() if run is not None else {}
    rates = rates_of(record, anywhere=True)
    if run is None or work.stage not in rates or record["stages"][work.stage]["status"] != "done":
        return None
    factor = _larger(config, size, run.config)
    if not 1 / FAR <= factor <= FAR:
        return None
    entry, machine = record["stages"][work.stage], record["machine"]
    device = (machine.get("gpus") or [counted(machine["cores"], "CPU core")])[0]
    source = f"{_MEASURED} {run.path} on {device} in {duration(entry['seconds'])}"
    time = estimate(work, config, core(size.parameters), rates)
    time = replace(time, low=time.low * (1 - min(0.9, LONGEST_START / entry["seconds"])))
    time = time.times(_completions(work.stage, config) / _completions(work.stage, run.config))
    if not 0.95 < factor < 1.05:  # time grows less than by parameters, or more
        time = replace(time.times(factor), low=time.low * factor / 1.5, high=time.high * factor * 1.5, measured=False)
        source += f", × {factor:.2g} for its parameters"
    if work.stage == "grad":
        counts = {name: count for name, count in entry["counts"].items() if name != "tokens"}
        share = sum(counts.get(name, 0) for name in ("features", "bad", "cascade")) / sum(counts.values())
        time = time.times(min(1.0, share * prompts / work.prompts))
        source += f", where {100 * share:.0f} % of the prompts could have a gradient"
    return replace(time, sources=(source,))


def _completions(stage: str, config: Config) -> int:
    """Of what a stage's rate counts: of a gradient, as often as they are read, or of a step."""
    if stage == "warmup":
        return config.warmup.batch_size
    if stage == "rollout":
        return 1
    return passes_of(config) * (config.rollout.num_generations if config.grad.rollouts == "all" else 1)


def _larger(config: Config, size: ModelSize, measured: Config) -> float:
    """How many times more parameters the model has than that of a measured run, which may be somebody else's: none of its code runs."""
    if measured.model.name == config.model.name:
        return 1.0
    plain = measured.model.model_copy(update={"trust_remote_code": False})
    return size.parameters / model_size(measured.model_copy(update={"model": plain})).parameters


def _signals(config: Config) -> list[str]:
    """The signals that the cascade and the method of select read."""
    from learnalign.selection.methods import find_method

    cascade = config.grad.cascade
    needed = [cascade.signal if cascade else None, find_method(config.select.method).signal]
    return [name for name in dict.fromkeys(needed) if name in SIGNALS]


def _of_run(works: Sequence[Work]) -> set[str]:
    """The stages whose rates a run has measured."""
    return {one.stage for one in works if one.time is not None and one.time.sources[0].startswith(_MEASURED)}


def _device(config: Config, works: Sequence[Work], run: RunDir | None) -> str:
    """What the hours are of: a GPU, unless the model is the embedded one, or a run on a CPU has measured a rate."""
    measured = run is not None and _of_run(works) and not run.read_record()["machine"].get("gpus")
    return "CPU" if measured or model_path(config) == str(demo.MODEL) else "GPU"


def _assumed(config: Config, works: Sequence[Work], size: ModelSize, run: RunDir | None) -> list[str]:
    """Sentences on what the estimates take for granted."""
    measured = _of_run(works)
    longest = config.rollout.max_completion_length
    lines = []
    if run is not None and not 1 / FAR <= (factor := _larger(config, size, run.config)) <= FAR:
        more = f"{factor:,.0f} times the" if factor > 1 else f"a {1 / factor:,.0f}th of the"
        lines.append(f"nothing of the rates of {run.path}: this model has {more} parameters of that one")
    if "rollout" not in measured:
        lines.append(
            f"completions of half the longest length, {longest // 2:,} tokens; by LearnAlign's tables, of the same share of it as the "
            "paper's had"
        )
    elif run is not None and longest != (there := run.config.rollout.max_completion_length):
        lines.append(
            f"completions as long as those of {run.path}, whose rollout.max_completion_length is {there:,}, not {longest:,}"
        )
    if "grad" not in measured:
        lines.append(
            "every prompt has 0 < p < 1 and so a gradient, which is the most; those of p = 0 and p = 1 cost nothing"
        )
    if config.verifier == "code":
        lines.append("tests of programs run beside the sampling, and take no time of their own")
    if signals := _signals(config):
        lines.append(
            f"the time of `learnalign signal DIR {' '.join(signals)}` is not counted; it reads every prompt or answer once (angles of "
            "7,000 GSM8K prompts with a model of 0.5B: under 10 minutes of an A100; GAIN-RL, §3)"
        )
    if size.from_name:
        lines.append(
            f"{size.parameters:,} parameters by the model's name, of {size.bytes_each} bytes; memory without completions, as its "
            "config.json is not here"
        )
    return lines
