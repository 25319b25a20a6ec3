"""The verifier of a run, as its config names it."""

from __future__ import annotations

from learnalign.config import Config
from learnalign.verify.code import Limits
from learnalign.verify.verifier import Verifier, open_verifier


def configured_verifier(config: Config, workers: int | None = None) -> Verifier:
    """Open `verifier` with its sandbox, limits and reasoning tags; see `open_verifier`."""
    if workers is None and config.verifier == "code":
        workers = config.verifier_limits.at_once
    tags, sandbox = config.data.reasoning_tags, config.verifier_sandbox
    return open_verifier(
        config.verifier, workers, reasoning_tags=tags, sandbox=sandbox, limits=configured_limits(config)
    )


def configured_limits(config: Config) -> Limits:
    """The limits of the programs that the verifier `code` runs."""
    limits = config.verifier_limits
    return Limits(seconds=limits.seconds, total_seconds=limits.total_seconds, memory=limits.memory)
