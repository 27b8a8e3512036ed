"""The trace of a run in real time, and its replay to the same bits.

What makes such a run is what came in from the environment, and when things happened: which publication each turn used,
which turns each fetch moved into the buffers, in which order rounds ran, and the state of the global generators. The
trace holds exactly that. Everything else follows, because the parts draw from generators of their own.
"""

from pamiq_exp.runtime.trace.recording import Trace
from pamiq_exp.runtime.trace.training import NO_TRACE, NoTrace, TrainingTrace

__all__ = [
    "NO_TRACE",
    "NoTrace",
    "Trace",
    "TrainingTrace",
]
