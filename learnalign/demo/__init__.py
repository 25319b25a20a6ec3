"""The embedded model and pool: a 0.75M-parameter Llama that solves some small arithmetic always, some never.

Torch-free: `model.name: demo` and `data.path: demo` in a configuration mean the paths below; `demo-code`, as data.path and for
`rollout --from`, the code tasks and their completions; `demo-arithmetic`, the experiment's pool, and others beside it.
`python -m learnalign.demo.train`, `learnalign.demo.code` and `learnalign.demo.arithmetic` make these files;
`python -m learnalign.demo.real` fetches a real model and pool.
"""

from pathlib import Path


def path() -> Path:
    """Return the folder of the embedded model, the pool and the held-out test set."""
    return Path(__file__).parent


MODEL = path() / "model"
POOL = path() / "pool.jsonl"
TEST = path() / "test.jsonl"
CODE_POOL = path() / "code_pool.jsonl"
CODE_COMPLETIONS = path() / "code_completions.jsonl"
SETS = path() / "sets"
_REGIMES = ("", "-one-family", "-extremes", "-wrong-golds", "-chains", "-validation", "-test")
POOLS = {"demo": POOL, "demo-code": CODE_POOL} | {
    f"demo-arithmetic{regime}": SETS / f"demo-arithmetic{regime}.jsonl.gz" for regime in _REGIMES
}
