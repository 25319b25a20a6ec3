"""How long a stage will take: the one estimate that every command uses, measured in this run or roughly given.

Before anything is measured: 2 FLOP a parameter and token for a forward pass and 6 for forward and backward, at the share of
the device's peak that such work reaches. It is rough, and said to be: the range is a factor of three either way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from learnalign.config import Config
from learnalign.progress import duration
from learnalign.published import PublishedRate, published_rates
from learnalign.rundir.machine import describe_machine
from learnalign.rundir.rates import rate_of


class Work(Protocol):
    """What there is to do: at most so many prompts, tokens and steps."""

    @property
    def stage(self) -> str: ...
    @property
    def prompts(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def steps(self) -> int | None: ...


# Peak of dense bfloat16 products in FLOP/s, by a part of the GPU's name.
_PEAKS = {
    "B200": 2250e12,
    "H200": 990e12,
    "H100": 990e12,
    "A100": 312e12,
    "L40": 181e12,
    "4090": 165e12,
    "L4": 121e12,
    "T4": 65e12,
}
_OTHER_GPU = 100e12
_CORE = 30e9  # a CPU core, float32
# The share of the peak that sampling, gradients and a training's steps reach.
_GPU_SHARE = {"sample": 0.06, "gradient": 0.3}
_CPU_SHARE = {"sample": 0.2, "gradient": 0.5}
_START = 30.0  # seconds of imports and loading
_ROUGH, _PUBLISHED, _MEASURED = 3.0, 1.5, 1.3
FAR = 10  # times more or fewer parameters, beyond which a rate says little


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds from `low` to `high`; `measured` in a run, or roughly given; `sources` say by what."""

    low: float
    high: float
    measured: bool
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        low, high = duration(round(self.low)), duration(round(self.high))
        return f"about {duration(round((self.low * self.high) ** 0.5))}" if self.measured else f"{low} to {high}"

    def times(self, factor: float) -> Estimate:
        """Of work that takes `factor` times as long."""
        return replace(self, low=self.low * factor, high=self.high * factor)

    def over(self, workers: int, shards: int) -> Estimate:
        """Of work in `shards` that `workers` share, one of which does most; each of them starts for itself."""
        most = -(-shards // workers)

        def shared(seconds: float, start: float) -> float:
            return min(seconds, start) + max(0.0, seconds - start) * most / shards

        return replace(self, low=shared(self.low, _START), high=shared(self.high, 2 * _START))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides rates: parameters of the model, peak FLOP/s of the device, whether it is a GPU."""

    parameters: int
    peak: float
    gpu: bool


def machine_for(parameters: int) -> Machine:
    """This machine with a model of so many parameters."""
    import torch

    if not torch.cuda.is_available():
        return Machine(parameters=parameters, peak=_CORE * (os.cpu_count() or 1), gpu=False)
    name = torch.cuda.get_device_name(0)
    peak = next((peak for part, peak in _PEAKS.items() if part in name), _OTHER_GPU)
    return Machine(parameters=parameters, peak=peak, gpu=True)


def gpu(name: str, parameters: int) -> Machine:
    """A machine with one GPU of that name (H100, A100 …) and a model of so many parameters."""
    return Machine(parameters=parameters, peak=_PEAKS[name], gpu=True)


def core(parameters: int) -> Machine:
    """One core of a CPU, with a model of so many parameters."""
    return Machine(parameters=parameters, peak=_CORE, gpu=False)


def rates_of(record: Mapping[str, Any] | None, anywhere: bool = False) -> dict[str, dict[str, float]]:
    """The rates that a run's record has of its stages, if they were made on a machine like this one, or `anywhere`."""
    here, there = describe_machine(), (record or {}).get("machine", {})
    if not record or (not anywhere and any(there.get(key) != here[key] for key in ("system", "cores", "memory_gb"))):
        return {}
    stages = record["stages"].items()
    return {name: rate for name, entry in stages if (rate := entry.get("rate") or _done(name, entry))}


def _done(stage: str, entry: Mapping[str, Any]) -> dict[str, float]:
    """The rate of a finished stage of a version that stored none."""
    return rate_of(stage, dict(entry)) if entry.get("status") == "done" else {}


def estimate(work: Work, config: Config, machine: Machine, measured: Mapping[str, Mapping[str, float]]) -> Estimate:
    """How long a stage's work takes."""
    known = _from_rate(work, config, measured)
    if known is not None:
        return Estimate(low=known / _MEASURED, high=known * _MEASURED, measured=True, sources=("measured in this run",))
    if not work.prompts:
        return Estimate(low=0, high=0, measured=True, sources=("no work",))
    share = _GPU_SHARE if machine.gpu else _CPU_SHARE
    sampling = 2 * machine.parameters / (machine.peak * share["sample"])  # seconds a token
    backward = 6 * machine.parameters / (machine.peak * share["gradient"])
    each = {
        "rollout": sampling,
        "grad": backward,
        "warmup": sampling + 1.5 * backward,
        "train": sampling + 1.5 * backward,
    }
    # Completions rarely have the longest length: half of it is the middle of the range.
    middle = work.tokens / 2 * each[work.stage]
    low, high = _START + middle / _ROUGH, 2 * _START + middle * _ROUGH
    return Estimate(low=low, high=high, measured=False, sources=("rough, from the model's size",))


def estimate_published(work: Work, parameters: int) -> Estimate | None:
    """How long a stage's work takes one GPU by all published rates of models of at most ten times more or fewer parameters.

    The range is from the fastest to the slowest, and `_PUBLISHED` more either way for other lengths, cards and versions. Each rate
    is scaled by parameters, and `sources` say so. None if there is no such rate.
    """
    rates = [rate for rate in published_rates(work.stage) if 1 / FAR <= parameters / rate.parameters <= FAR]
    if not rates:
        return None
    # Completions rarely have the longest length: of rates in actual tokens, half of the work's are taken.
    seconds = [
        work.tokens
        * (1 if rate.counted == "longest" else 0.5)
        * rate.seconds
        / rate.amount
        * parameters
        / rate.parameters
        for rate in rates
    ]
    sources = tuple(_source(rate, parameters) for rate in rates)
    low, high = min(seconds) / _PUBLISHED, max(seconds) * _PUBLISHED
    return Estimate(low=low, high=high, measured=False, sources=sources)


def _source(rate: PublishedRate, parameters: int) -> str:
    factor = parameters / rate.parameters
    scaled = "" if 0.95 < factor < 1.05 else f", × {factor:.2g} for its parameters"
    return f"{rate.source} ({rate.model} on one {rate.device}{scaled})"


def _from_rate(work: Work, config: Config, measured: Mapping[str, Mapping[str, float]]) -> float | None:
    """Seconds by the rate of this stage (of a training also by the other's) in this run."""
    if work.stage == "rollout" and (rate := measured.get("rollout")):
        tokens = work.prompts * config.rollout.num_generations * rate["tokens_per_sample"]
        return tokens / rate["tokens_per_second"]
    if work.stage == "grad" and (rate := measured.get("grad")):
        return work.prompts / rate["gradients_per_second"]
    if work.stage in ("warmup", "train") and (rate := measured.get(work.stage) or measured.get("warmup")):
        return (work.steps or 0) * rate["seconds_per_step"]
    return None
