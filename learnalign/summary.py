"""The state of a run, read from its files: what `learnalign status` shows and every command prints at its end."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from learnalign.errors import RunError, counted
from learnalign.names import SIGNALS
from learnalign.progress import duration
from learnalign.prompts import reason_counts
from learnalign.rollouts.first_look import caution
from learnalign.rollouts.success import success_table
from learnalign.rundir import RunDir
from learnalign.rundir.files import is_done, read_parquet
from learnalign.rundir.stages import STAGES
from learnalign.selection.stability import Stability


def summarise(run: RunDir) -> dict[str, Any]:
    """Counts of the pool, of what was left out and why, the distribution of p, the chosen, and each stage's time."""
    record = run.read_record()
    stages = record["stages"]
    quarantined = run.quarantined()
    counts = stages.get("pool", {}).get("counts", {})
    return {
        "run": str(run.path),
        "pool": {"rows": counts.get("rows"), "prompts": counts.get("prompts")},
        "left_out": _left_out(quarantined),
        "quarantine": str(run.quarantine_file) if quarantined else None,
        "engine": stages.get("rollout", {}).get("engine"),
        "dtype": record.get("dtype") or run.config.model.dtype,
        "success": success_summary(run),
        "caution": _caution(run, stages.get("rollout", {})),
        "cascade": run.cascade_note(),
        "selections": _selections(run, stages.get("select", {}).get("methods", {})),
        "stability": _stability(stages.get("select", {}).get("methods", {})),
        "chosen": stages.get("select", {}).get("counts", {}).get("chosen"),
        "report": str(run.report_file) if run.report_file.is_file() else None,
        "report_is_old": report_is_old(run),
        "stages": [_stage(run, name, stages[name]) for name in sorted(stages, key=_order)],
        "stale": [f"{name}: {text}" for name, differences in run.stale() for text in differences],
    }


def success_summary(run: RunDir) -> dict[str, Any] | None:
    """Mean and histogram of p by its values k/G, unscored rollouts, prompts with V > 0; None before rollouts."""
    if not run.success_file.is_file():
        return None
    table = success_table(run, check=False)
    rates, samples = table["success_rate"].drop_null().to_numpy(), table["samples"].to_numpy()
    return {
        "mean": float(rates.mean()) if len(rates) else None,
        "learnable": int((table["learnability"].to_numpy() > 0).sum()),
        "unscored_prompts": len(table) - len(rates),
        "unscored_rollouts": int(samples.sum() - table["scored"].to_numpy().sum()),
        "histogram": _histogram(rates, int(samples.max(initial=1))),
    }


def _caution(run: RunDir, entry: dict[str, Any]) -> str | None:
    """What all rollouts say against the settings: with --anyway nothing else does, once they are drawn."""
    counts = entry.get("counts", {})
    if entry.get("status") != "done" or not run.success_file.is_file():
        return None
    table = success_table(run, check=False)
    correct, scored, count = (int(table[name].to_numpy().sum()) for name in ("correct", "scored", "samples"))
    return caution(run, f"all {count:,}", correct, scored, counts.get("truncated", 0), count) or None


def report_is_old(run: RunDir) -> bool:
    """Whether report.html shows another choice than the present one: it holds the sum of the chosen scores it was made of."""
    if not run.report_file.is_file():
        return False
    try:
        shown, now = meta_of(run.report_file)["total"], _total(run)
    except (KeyError, RunError):  # not a page of ours, or damaged scores: other words are for that
        return False
    return shown != now if shown is None or now is None else not math.isclose(shown, now)


def meta_of(page: Path) -> dict[str, Any]:
    """What a report says of itself to its own script; empty if the file is none."""
    with page.open("rb") as file:
        found = re.search(rb'id="meta">(.*?)</script>', file.read(_HEAD))
    try:
        return dict(json.loads(found[1])) if found else {}
    except ValueError:
        return {}


_HEAD = 1 << 23  # bytes of the page in which its description stands


def _total(run: RunDir) -> float | None:
    """The sum of the scores chosen by the method that the report shows first."""
    own = run.scores_file(run.own_label)
    stored = [own] if own.is_file() else sorted(own.parent.glob("*.parquet"))
    if not stored:
        return None
    scores = read_parquet(stored[0], ["score", "selected"])
    return pc.sum(scores["score"].filter(scores["selected"])).as_py()


def _histogram(rates: np.ndarray, group: int) -> list[list[Any]]:
    """[p, prompts] for every possible p of a small group, for tenths of a large one."""
    parts = group if group <= 16 else 10
    counts = np.bincount(np.rint(rates * parts).astype(int), minlength=parts + 1).tolist()
    return [[f"{k}/{parts}", counts[k]] for k in range(parts + 1)]


def _left_out(lines: list[dict[str, Any]]) -> dict[str, int]:
    stages = dict.fromkeys(line["stage"] for line in lines)
    return {
        f"{reason} ({stage})": count
        for stage in stages
        for reason, count in reason_counts([line for line in lines if line["stage"] == stage]).items()
    }


def _stability(methods: dict[str, Any]) -> dict[str, str]:
    """By method, how much of its choice stays when each p is drawn from its posterior, in words."""
    return {
        name: Stability(**stored).describe(min(entry["chosen"], entry["eligible"]))
        for name, entry in methods.items()
        if (stored := entry.get("stability"))
    }


def _selections(run: RunDir, methods: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By method, that of the settings last: N chosen, the subset's path, sentences for the user, the shares by columns of the data."""
    words, own = _stability(methods), run.own_label
    return {
        name: {
            "chosen": entry["chosen"],
            "subset": str(run.subset_file(name)),
            "notes": entry.get("notes", [words[name]] if name in words else []),
            "shares": entry.get("shares", []),
        }
        for name, entry in sorted(methods.items(), key=lambda method: method[0] == own)
    }


def _order(stage: str) -> int:
    return list(STAGES).index(stage) if stage in STAGES else len(STAGES)


def _stage(run: RunDir, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    memory, cpu = entry.get("peak_memory_gb", {}), entry.get("cpu_seconds")  # former versions did not count it
    return {
        "stage": name,
        "status": _status(run, name, entry),
        "time": duration(entry["seconds"]),
        "seconds": entry["seconds"],
        "cpu_time": None if cpu is None else duration(cpu),
        "cpu_seconds": cpu,
        "memory": memory.get("gpu") or max(memory.values(), default=None),
        "counts": entry.get("counts", {}),
    }


def _status(run: RunDir, name: str, entry: dict[str, Any]) -> str:
    if name in STAGES and entry["fingerprint"] != run.fingerprint(name):
        return "stale"
    if entry["status"] == "done" and name in STAGES and (missing := run.missing(name)):
        return f"{counted(len(missing), 'file')} missing"
    files = {"rollout": run.rollouts_file, "grad": run.gradients_file}
    if entry["status"] == "done" or name not in (*files, "signal") or not run.prompts_file.is_file():
        return entry["status"]
    shards = run.shards()
    if name == "signal":
        parts = {signal: len(list(run.signal_parts(signal).glob("part-*.parquet"))) for signal in SIGNALS}
        unfinished = [
            f"{signal} {count} of {counted(len(shards), 'shard')}" for signal, count in parts.items() if count
        ]
        return ", ".join(unfinished) or entry["status"]
    done = sum(is_done(files[name](shard), entry["fingerprint"], shard.rows) for shard in shards)
    return f"{done} of {counted(len(shards), 'shard')}"
