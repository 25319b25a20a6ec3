"""Decides which prompts the next training step takes, for TRL's trainer and for verl's.

base     the `Curriculum` protocol
shuffled every prompt once an epoch
gain     GAIN-RL: order by Eq. 7, draws by Eq. 8, μ by Eq. 9 and 10
angles   C of a step's prompts under the model in training (Eq. 9)
adarft   ADARFT: prompts nearest to a target difficulty
accuracy GAIN-RL's ablation: random order, without the prompts that were solved
dynamic  DAPO: groups without spread are dropped and others drawn
verl     gain and adarft as samplers for verl
"""

from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.shuffled import Shuffled

__all__ = ["Curriculum", "Shuffled"]
