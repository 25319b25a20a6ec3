"""Which prompts the next training step takes: in shuffled epochs, by GAIN-RL or by ADARFT, for TRL and for verl."""

from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.shuffled import Shuffled

__all__ = ["Curriculum", "Shuffled"]
