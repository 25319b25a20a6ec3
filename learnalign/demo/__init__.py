"""The embedded model and pool: a 0.75M-parameter Llama that solves some small arithmetic always, some never.

Torch-free: `model.name: demo` and `data.path: demo` in a configuration mean the paths below; `demo-code`, as data.path and for
`rollout --from`, the code tasks and their completions. `python -m learnalign.demo.train` and `python -m learnalign.demo.code`
make these files; `python -m learnalign.demo.real` fetches a real model and pool.
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
POOLS = {"demo": POOL, "demo-code": CODE_POOL}
