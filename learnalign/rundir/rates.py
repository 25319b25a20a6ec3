"""How fast a finished stage was, from its counts and its time: kept in run.json beside them."""

from __future__ import annotations

from typing import Any


def rate_of(stage: str, entry: dict[str, Any]) -> dict[str, float]:
    """Tokens sampled a second, gradients a second (both by one worker) or seconds a step of a stage's entry; empty if it did no such work.

    Its time includes loading the model and starting an engine, and so does that of the next run.
    """
    counts, seconds = entry.get("counts", {}), worker_seconds(entry)
    if not seconds:
        return {}
    if stage == "rollout" and counts.get("tokens") and entry.get("engine"):  # imported ones took no sampling
        return {
            "tokens_per_second": counts["tokens"] / seconds,
            "tokens_per_sample": counts["tokens"] / counts["samples"],
        }
    if stage == "grad" and counts.get("features"):
        return {"gradients_per_second": counts["features"] / seconds, "tokens_per_second": counts["tokens"] / seconds}
    if stage in ("warmup", "train") and counts.get("steps"):
        return {"seconds_per_step": seconds / counts["steps"]}
    return {}


def worker_seconds(entry: dict[str, Any]) -> float:
    """Seconds of a stage's entry times the workers that it had then, which may have changed between its commands."""
    return float(entry.get("worker_seconds", entry.get("seconds", 0.0) * entry.get("workers", 1)))
