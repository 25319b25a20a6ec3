"""How good a policy is on a test set: pass@1, pass@k and avg@k with confidence intervals (`learnalign eval`).

metrics.py holds the estimators, testset.py the settings of an evaluation, stage.py the evaluation itself.
"""

from learnalign.evaluation.stage import EvalResult, evaluate
from learnalign.evaluation.testset import evaluation_config

__all__ = ["EvalResult", "evaluate", "evaluation_config"]
