"""Linear recurrences h_t = a_t h_{t-1} + u_t, with gradients, on CPU and GPU."""

from pamiq_exp.scan.linear_scan import CHUNK, METHODS, ScanMethod, linear_scan, scan_step, warm_up

__all__ = [
    "CHUNK",
    "METHODS",
    "ScanMethod",
    "linear_scan",
    "scan_step",
    "warm_up",
]
