"""I-JEPA (Assran et al. 2023)."""

from pamiq_exp.models.encoders.ijepa.collapse import Collapse, measure_collapse
from pamiq_exp.models.encoders.ijepa.ijepa import IJepa, TokenEncoder
from pamiq_exp.models.encoders.ijepa.masks import Masks, MaskSampler
from pamiq_exp.models.encoders.ijepa.transformer import Transformer, TransformerBlock, position_codes

__all__ = [
    "Collapse",
    "IJepa",
    "MaskSampler",
    "Masks",
    "TokenEncoder",
    "Transformer",
    "TransformerBlock",
    "measure_collapse",
    "position_codes",
]
