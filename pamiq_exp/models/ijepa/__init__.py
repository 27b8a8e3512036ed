"""I-JEPA: features from predicting hidden parts of an image in feature space."""

from pamiq_exp.models.ijepa.collapse import Collapse, measure_collapse
from pamiq_exp.models.ijepa.ijepa import IJepa, TokenEncoder
from pamiq_exp.models.ijepa.masks import MaskCollator, Masks, MaskSampler
from pamiq_exp.models.ijepa.transformer import Transformer, TransformerBlock, position_codes

__all__ = [
    "Collapse",
    "IJepa",
    "MaskCollator",
    "MaskSampler",
    "Masks",
    "TokenEncoder",
    "Transformer",
    "TransformerBlock",
    "measure_collapse",
    "position_codes",
]
