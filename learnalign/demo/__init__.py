"""The embedded model and pool: a 0.75M-parameter Llama that does small arithmetic, some of it always, some never.

Torch-free: a configuration that says `model.name: demo` or `data.path: demo` is resolved with the paths below.
`python -m learnalign.demo.train` makes all of it again; `python -m learnalign.demo.real` fetches a real model and pool.
"""

from pathlib import Path


def path() -> Path:
    """The folder that holds the embedded model, the pool and the held-out test set."""
    return Path(__file__).parent


MODEL = path() / "model"
POOL = path() / "pool.jsonl"
TEST = path() / "test.jsonl"
