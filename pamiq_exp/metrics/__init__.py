"""What a run measures about itself: observers of its turns that never take part."""

from pamiq_exp.metrics.coverage import Coverage
from pamiq_exp.metrics.episodes import Episodes

__all__ = ["Coverage", "Episodes"]
