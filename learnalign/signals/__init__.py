"""Numbers per prompt other than rollouts and gradients: `stage` writes them, `find_signal` finds one by its name.

One module for each signal; equations are LearnAlign's unless named otherwise:

    perplexity      PPL of the answer given the prompt (Eq. 9), NLLs from `likelihood`
    ifd             instruction-following difficulty (Eq. 10)
    length          tokens of question and answer (App. B.2)
    selectit        SelectIT's ratings (App. B.2)
    features        RDS+, position-weighted hidden states
    angle           C_intra and C_inter (GAIN-RL, Eq. 5), the first segment from `segments`
    concentration   C = C_intra + c·C_inter (GAIN-RL, Eq. 7 and App. F.1), read by curricula too
    limr            LIMR's score from the rewards of a training

`signal` defines what they share, `rendered` the tokens they are computed from, `table` their files. Importing the
package imports no torch; a signal's module is imported when it is used.
"""

from learnalign.signals.stage import SignalResult, find_signal, signal
from learnalign.signals.table import signal_fingerprint, stored_fingerprint, stored_model

__all__ = ["SignalResult", "find_signal", "signal", "signal_fingerprint", "stored_fingerprint", "stored_model"]
