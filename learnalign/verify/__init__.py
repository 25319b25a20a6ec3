"""Verifiers: which completions are correct, decided in worker processes that can be killed."""

from learnalign.verify.verdict import Item, Verdict
from learnalign.verify.verifier import Verifier, open_verifier

__all__ = ["Item", "Verdict", "Verifier", "open_verifier"]
