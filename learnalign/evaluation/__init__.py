"""How good a policy is on a test set: greedy accuracy, pass@k and avg@k with confidence intervals (`learnalign eval`).

metrics.py holds the estimators, columns.py a metric by columns of the test set, paired.py two policies on the same
questions, testset.py the settings of an evaluation, stage.py the evaluation itself, curves.py those of all policies of a
training.
"""

from learnalign.evaluation.curves import Curves, Point, SameAccuracy, evaluate_curves, training_of
from learnalign.evaluation.paired import Difference
from learnalign.evaluation.stage import EvalResult, evaluate
from learnalign.evaluation.testset import check_questions, evaluation_config

__all__ = [
    "Curves",
    "Difference",
    "EvalResult",
    "Point",
    "SameAccuracy",
    "check_questions",
    "evaluate",
    "evaluate_curves",
    "evaluation_config",
    "training_of",
]
