"""Per-prompt numbers other than rollouts and gradients, one module each, for the methods of both papers."""

from learnalign.signals.angle import angle_concentration
from learnalign.signals.stage import SIGNALS, SignalResult, find_signal, signal
from learnalign.signals.table import signal_fingerprint

__all__ = ["SIGNALS", "SignalResult", "angle_concentration", "find_signal", "signal", "signal_fingerprint"]
