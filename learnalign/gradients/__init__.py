"""Stage 2: per-sample GRPO gradients, randomly projected. Read in this order:

stage        shard by shard from rollouts to gradients/part-*.safetensors; result: counts, bad gradients
cascade      which prompts a cheap signal keeps (App. G.2)
inputs       from a run directory to samples and an engine
grpo         advantages (Eq. 1) and the coefficients of the gradient (Eq. 7)
passes       rows and batches of samples, smaller ones if memory runs out
reference    log π_ref of the tokens, in a pass before the gradients, kept beside the rollouts
engine       samples in, features out: forward, head, backward
logprobs     log-probabilities and the gradient of the hidden states, chunk by chunk
capture/     layer inputs and output gradients, prompt by prompt
projections/ Γ of φ = Γᵀ∇J: kronecker (the default, with fold), dense
exact/       alignment without projection, and the comparison that `grad --verify` makes
"""

from learnalign.gradients.cascade import check_cascade, keep_of
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.gradients.inputs import check_modules
from learnalign.gradients.reference import LogProbs, with_reference
from learnalign.gradients.result import GradResult, Verification
from learnalign.gradients.stage import gpus_of, grad

__all__ = [
    "GradResult",
    "GradientEngine",
    "GradientSettings",
    "LogProbs",
    "Sample",
    "UsedRollout",
    "Verification",
    "check_cascade",
    "check_modules",
    "gpus_of",
    "grad",
    "keep_of",
    "with_reference",
]
