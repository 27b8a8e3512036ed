import torch
from torch import nn

from pamiq_exp.models import Encoder


class Autoencoder(Encoder):
    """Encodes the field `state` into `features` numbers from which it can be reconstructed."""

    def __init__(self, observation, features=8, hidden=32, learning_rate=1e-3):
        super().__init__(observation, features)
        (size,) = observation["state"]["shape"]
        self.encoder = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, features))
        self.decoder = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, size))
        self.learning_rate = learning_rate

    def encode(self, batch):
        return self.encoder(batch["observation.state"])

    def training_step(self, batch, batch_index):
        reconstruction = self.decoder(self.encode(batch))
        loss = nn.functional.mse_loss(reconstruction, batch["observation.state"])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)
