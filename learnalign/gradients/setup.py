"""What every way through the stage needs from a run directory: its engine."""

from __future__ import annotations

from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.policy import load_model, load_policy
from learnalign.policy.parts import is_adapted
from learnalign.rundir import RunDir


def make_engine(run: RunDir) -> GradientEngine:
    """The engine of a run: its policy, and the base model as reference where β > 0 and the policy is no adapter on it.

    Without warmup the policy is the reference, π_ref/π_θ − 1 = 0, and β has nothing to do.
    """
    config = run.config
    settings = GradientSettings(
        seed=config.seed,
        beta=config.grad.beta if config.warmup.size else 0.0,
        temperature=config.rollout.temperature,
        modules=config.grad.modules,
        projection=config.grad.projection,
        dim=config.grad.dim,
        width=config.grad.width,
        batch_tokens=config.grad.batch_tokens,
    )
    policy = load_policy(run)
    needs_reference = settings.beta > 0 and not is_adapted(policy)
    return GradientEngine(policy, settings, load_model(config) if needs_reference else None)
