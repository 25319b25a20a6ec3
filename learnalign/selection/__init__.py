"""Stage 4: scores, rankings and the subset (LearnAlign §4.4, step 4), and every other method on the same files."""

from learnalign.selection.comparison import Comparison, compare
from learnalign.selection.result import SelectResult
from learnalign.selection.stage import select

__all__ = ["Comparison", "SelectResult", "compare", "select"]
