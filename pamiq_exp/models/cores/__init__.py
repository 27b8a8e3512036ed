"""Recurrent cores with one interface."""

from pamiq_exp.models.cores.block import Block, LinearRecurrence, Mixer
from pamiq_exp.models.cores.core import RecurrentCore
from pamiq_exp.models.cores.gru import Gru
from pamiq_exp.models.cores.qgru import QGru
from pamiq_exp.models.cores.qlstm import QLstm
from pamiq_exp.models.cores.sioconv import SioConv
from pamiq_exp.models.cores.sioconv_ps import SioConvPS

__all__ = [
    "Block",
    "Gru",
    "LinearRecurrence",
    "Mixer",
    "QGru",
    "QLstm",
    "RecurrentCore",
    "SioConv",
    "SioConvPS",
]
