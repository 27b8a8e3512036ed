"""Linear regression with a penalty."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def product(first: Numbers, second: Numbers) -> Numbers:
    """Return a product of matrices, worked out with as many threads as models have on this thread.

    Numpy's own product would wake threads of its own, which wait for each other by spinning: beside a training
    thread that took thirty times as long.
    """
    result: Numbers = (torch.from_numpy(first) @ torch.from_numpy(second)).numpy()
    return result


class Ridge:
    """A linear map from standardised inputs, fitted with a penalty on its squared weights.

    Minimises mean |y - W x - b|^2 + penalty |W|^2 (Hoerl and Kennard 1970).

    Args:
        inputs: `(n, features)`. Features that do not vary are left out of account.
        targets: `(n, outputs)`.
        penalty: Weight of the penalty.
    """

    def __init__(self, inputs: Numbers, targets: Numbers, penalty: float = 1e-3) -> None:
        self._mean, self._offset = inputs.mean(axis=0), targets.mean(axis=0)
        spread = inputs.std(axis=0)
        self._scale = np.where(spread > 1e-9, 1.0 / np.where(spread > 1e-9, spread, 1.0), 0.0)
        scaled = (inputs - self._mean) * self._scale
        gram = product(scaled.T, scaled) / len(inputs) + penalty * np.eye(inputs.shape[1])
        moment = product(scaled.T, targets - self._offset) / len(inputs)
        self._weights: Numbers = torch.linalg.solve(torch.from_numpy(gram), torch.from_numpy(moment)).numpy()

    def __call__(self, inputs: Numbers) -> Numbers:
        """Return what is predicted for `(m, features)`: `(m, outputs)`."""
        predicted: Numbers = product((inputs - self._mean) * self._scale, self._weights) + self._offset
        return predicted


def explained(targets: Numbers, predicted: Numbers) -> float:
    """Return R^2, 1 - residual / total sum of squares, mean over outputs that vary."""
    residual = ((targets - predicted) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 1e-12
    return float((1.0 - residual[varies] / total[varies]).mean()) if varies.any() else 0.0
