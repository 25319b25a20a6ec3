"""Verifiers: which completions are correct, judged in worker processes that can be killed.

Reading order: verifier → reasoning → builtin → extract → notation → [in a worker process: equality → reading → units].

- reasoning: cuts <think>…</think> and the like from a completion.
- extract: finds where a completion states its answer.
- notation: rewrites what people type as LaTeX, and reads plain numbers exactly.
- reading: parses one answer, gold or sampled, as mathematics, words and a unit.
- units: splits a unit from its number and converts it.
- equality: decides whether two readings are the same answer.
- rows: scores a file's completions, or compares verifiers on them; graders: those of trainers, to compare with.

A trainer with its own reward function may judge differently than p was judged here; to measure p with that function,
set `verifier: package.module:function` (see `functions`).
"""

from learnalign.verify.verdict import Item, Verdict
from learnalign.verify.verifier import Verifier, open_verifier

__all__ = ["Item", "Verdict", "Verifier", "open_verifier"]
