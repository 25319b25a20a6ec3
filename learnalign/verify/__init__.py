"""Verifiers: which completions are correct, judged in worker processes that can be killed.

Reading order: verifier → reasoning → builtin → extract → [in a worker process: equality → reading → forms].

- reasoning: cuts what a completion thinks before it answers.
- extract: finds where a completion states its answer; gsm8k does so for its own format.
- notation: rewrites what people type as LaTeX, and reads plain numbers exactly.
- reading: turns one answer, gold or sampled, into its form: a number, list, interval, date, … (see forms, readers).
- prose, units, symbolic: what the readers ask about sentences, quantities and formulas.
- equality: compares two forms, each pair by a rule that is listed.
- code: the verifier of programs, which runs them in a sandbox (a guide of its own: code/README.md).
- configured: opens the verifier of a run, as its config names it.
- rows: scores a file's completions, or compares verifiers on them; graders: those of trainers, to compare with.

A trainer with its own reward function may judge differently than p was judged here; to measure p with that function,
set `verifier: package.module:function` (see `functions`).
"""

from learnalign.verify.verdict import Item, Verdict
from learnalign.verify.verifier import Verifier, open_verifier

__all__ = ["Item", "Verdict", "Verifier", "open_verifier"]
