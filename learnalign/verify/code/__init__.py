"""Programs as answers: the verifier `code` runs a completion's program in a sandbox on the row's tests.

Reading order: cases → shapes → program → judging → sandbox → local → box → inside.

- cases: what the tests of a row are; shapes: reads them as the data sets hold them; comparison: of outputs and values.
- program: finds the program in a completion; judging: runs it on the tests and compares.
- sandbox: what a place to run programs must do. local: this machine, by bubblewrap (box, memory, system_calls). service: over HTTP.
- inside: what runs in the sandbox, on Python's library alone.
"""

from learnalign.verify.code.judging import CodeJudge, gold_reason
from learnalign.verify.code.places import at_once, open_sandbox
from learnalign.verify.code.sandbox import Limits

__all__ = ["CodeJudge", "Limits", "at_once", "gold_reason", "open_sandbox"]
