from my_parts.autoencoder import Autoencoder
from my_parts.rarity import Rarity
from my_parts.ring import Ring

__all__ = ["Autoencoder", "Rarity", "Ring"]
