"""Stage 2: per-sample GRPO gradients, randomly projected."""

from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Completion, Sample
from learnalign.gradients.result import GradResult, Verification
from learnalign.gradients.stage import grad

__all__ = ["Completion", "GradResult", "GradientEngine", "GradientSettings", "Sample", "Verification", "grad"]
