"""Stage 3: G sampled completions of every prompt, judged: success rates p and learnability V = p(1 − p) (§4.4, step 3).

Reading order:

    stage        sample and judge the prompts that have no rollouts yet; imports: take completions from a file instead
    first_look   stops after the first shard if nearly nothing or all is solved, or most is cut off
    judging      the text of a completion, the reasoning that its prompt began, and its reward
    groups       rollouts/part-*.parquet, one row per rollout
    success      success.parquet: p = correct / scored, V = p(1 − p) (Eq. 5) and an interval of p
    uncertainty  the posterior Beta(correct + 1/2, scored − correct + 1/2) of p, and its prior over the pool
    adaptive     groups that stop at half because their V cannot reach the top N
    examples     prompts with their completions and verdicts, to look at
    again        judge stored completions again, to compare verifiers
    result       counts of the stage and groups with fewer scored rollouts
    engines/     the contract of an engine, the two engines, and the choice between them
"""

from learnalign.rollouts.engines.choice import open_engine
from learnalign.rollouts.engines.contract import Completion, Engine, Request, Sampling
from learnalign.rollouts.groups import Rollout, load_rollouts
from learnalign.rollouts.imports import ImportResult, import_rollouts
from learnalign.rollouts.result import RolloutResult
from learnalign.rollouts.stage import rollout

__all__ = [
    "Completion",
    "Engine",
    "ImportResult",
    "Request",
    "Rollout",
    "RolloutResult",
    "Sampling",
    "import_rollouts",
    "load_rollouts",
    "open_engine",
    "rollout",
]
