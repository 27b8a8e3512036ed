"""Curiosity about the part of one's uncertainty that learning can remove."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.rewards.dynamics_reward import DynamicsReward, member_means
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.transition import Transition


class GaussianEnsemble(DynamicsReward):
    """The epistemic part of what an ensemble of normal laws N(mu_k, sigma_k^2) does not know.

    By the law of total variance the mixture of all members has the variance E + A with E = Var_k mu_k (epistemic:
    what they disagree about) and A = mean_k sigma_k^2 (aleatoric: what all take for noise). With `form`
    "variance", r = mean E; with "information", r = mean 1/2 log(1 + E / (A + a_min)), which has no scale.

    Sources: Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using deep
    ensembles; Depeweg et al. 2018, Decomposition of uncertainty in Bayesian deep learning.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the model that predicts: an ensemble with learned variances.
        form: "variance" or "information".
        smallest: a_min, about a thousandth of the variance of a feature: in deterministic places E / A would
            otherwise divide two tiny numbers.
    """

    name = "gaussian_ensemble"

    def __init__(
        self,
        normalizer: Normalizer | None = None,
        dynamics: str = "dynamics",
        form: Literal["variance", "information"] = "variance",
        smallest: float = 1e-3,
    ) -> None:
        super().__init__(normalizer, dynamics, parts=("epistemic", "aleatoric"))
        if form not in ("variance", "information"):
            raise ValueError(f"form must be 'variance' or 'information', not {form!r}")
        self.form, self.smallest = form, float(smallest)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises TypeError for a model that is no ensemble."""
        foreseen = self.foresee(transition)
        if foreseen is None:
            return None
        law, target = foreseen
        epistemic = member_means(law.mean, target, self).var(0, correction=0)
        aleatoric = law.variance.mean(0)
        self.note("epistemic", _numbers(epistemic.mean(-1)), transition.valid)
        self.note("aleatoric", _numbers(aleatoric.mean(-1)), transition.valid)
        if self.form == "variance":
            return _numbers(epistemic.mean(-1))
        return _numbers(0.5 * torch.log1p(epistemic / (aleatoric + self.smallest)).mean(-1))


def _numbers(values: torch.Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = values.float().cpu().numpy()
    return numbers
