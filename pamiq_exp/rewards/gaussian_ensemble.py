"""Epistemic uncertainty of an ensemble of Gaussians as intrinsic reward."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward, member_means
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.transition import Transition


class GaussianEnsemble(DynamicsReward):
    """Epistemic variance of an ensemble of normal distributions N(mu_k, sigma_k^2).

    By the law of total variance the mixture of all members has the variance E + A with E = Var_k mu_k (epistemic:
    disagreement of the members) and A = mean_k sigma_k^2 (aleatoric: predicted noise). With `form` "variance",
    r = mean E; with "information", r = mean 1/2 log(1 + E / (A + min_variance)), which has no scale.

    Sources: Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using deep
    ensembles; Depeweg et al. 2018, Decomposition of uncertainty in Bayesian deep learning.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics: an ensemble with learned variances.
        form: "variance" or "information".
        min_variance: Added to A, about a thousandth of the variance of a feature: where the environment is
            deterministic, E / A would otherwise divide two tiny numbers.
    """

    name = "gaussian_ensemble"

    def __init__(
        self,
        normalizer: Normalizer | None = None,
        dynamics: str = "dynamics",
        form: Literal["variance", "information"] = "variance",
        min_variance: float = 1e-3,
    ) -> None:
        super().__init__(normalizer, dynamics, parts=("epistemic", "aleatoric"))
        if form not in ("variance", "information"):
            raise ValueError(f"form must be 'variance' or 'information', not {form!r}")
        self.form, self.min_variance = form, float(min_variance)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises TypeError for a model that is not an ensemble."""
        predicted = self.predict(transition)
        if predicted is None:
            return None
        prediction, target = predicted
        epistemic = member_means(prediction.mean, target, self).var(0, correction=0)
        aleatoric = prediction.variance.mean(0)
        self.note("epistemic", _numbers(epistemic.mean(-1)), transition.valid)
        self.note("aleatoric", _numbers(aleatoric.mean(-1)), transition.valid)
        if self.form == "variance":
            return _numbers(epistemic.mean(-1))
        return _numbers(0.5 * torch.log1p(epistemic / (aleatoric + self.min_variance)).mean(-1))


def _numbers(values: torch.Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = values.float().cpu().numpy()
    return numbers
