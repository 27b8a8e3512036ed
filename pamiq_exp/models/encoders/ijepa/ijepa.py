"""I-JEPA (Assran et al. 2023), with boolean masks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.encoders.ijepa.collapse import measure_collapse
from pamiq_exp.models.encoders.ijepa.masks import Masks, MaskSampler, Targets
from pamiq_exp.models.encoders.ijepa.transformer import Transformer
from pamiq_exp.models.nn.inputs import Batch, choose_image, leading_shape, scale
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.token_mixing import GridPool


class TokenEncoder(Encoder):
    """A vision transformer: an image to a square map of tokens.

    A latent vector is the map with each token normalized (mean 0, variance 1), averaged to fewer tokens and flattened.

    Args:
        observation: The observation space of one environment.
        features: Size of a latent vector: `tokens` times `token_width`.
        tokens: Tokens in a latent vector: the square of a divisor of the map's side.
        token_width: Size of a token.
        patch: Side of the square of pixels behind one token.
        width: Size of a token inside the transformer.
        depth: Number of blocks.
        heads: Attention heads.
        image: Name of the image to encode.

    Attributes:
        side: Tokens on a side of the map.

    Raises:
        ValueError: For an image or numbers that do not fit each other.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        features: int,
        tokens: int,
        token_width: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        image: str | None = None,
    ) -> None:
        super().__init__(observation, features)
        self.field, (height, across, channels) = choose_image(self.fields, image, "I-JEPA")
        self.fields = {self.field: self.fields[self.field]}
        if height != across or height % patch:
            raise ValueError(
                f"I-JEPA cuts a square image into patches of {patch} pixels a side, but the image is "
                f"{height}x{across}; choose a patch that divides it"
            )
        self.side = height // patch
        self.tokens, self.token_width = int(tokens), int(token_width)
        if tokens * token_width != features or round(tokens**0.5) ** 2 != tokens:
            raise ValueError(
                f"features must be tokens times token_width, and tokens a square: {features}, {tokens}, {token_width}"
            )
        self.patches = nn.Conv2d(channels, width, patch, patch)
        # As large as the position codes; otherwise all images have nearly the same tokens at first.
        nn.init.xavier_uniform_(self.patches.weight.flatten(1))
        nn.init.zeros_(self.patches.bias)  # type: ignore[arg-type]
        self.transformer = Transformer(self.side, None, width, depth, heads, token_width)
        self.pool = GridPool(self.side, round(tokens**0.5))

    def tokens_of(self, pixels: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return the whole map of images: `(batch, channels, height, width)` -> `(batch, side^2, token_width)`.

        Tokens in `hidden`, `(batch, side^2)` bool, are replaced by a learned one.
        """
        return self.transformer.replace(self.patches(pixels).flatten(2).transpose(1, 2), hidden)

    def normal_tokens(self, pixels: Tensor) -> Tensor:
        """As `tokens_of`, each token with mean 0 and variance 1 over its numbers, in at least float32."""
        return nn.functional.layer_norm(to_float32(self.tokens_of(pixels)), (self.token_width,))

    def pixels(self, batch: Batch) -> Tensor:
        """The images of a batch, `(count, channels, side, side)`, from -1 to 1."""
        images = scale(batch[self.field], self.fields[self.field]).flatten(0, -4).movedim(-1, 1)
        return (2 * images - 1).to(self.patches.weight.dtype)

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`."""
        leading = leading_shape(batch, self.fields)
        latent: Tensor = self.pool(self.normal_tokens(self.pixels(batch))).reshape(*leading, self.features)
        return latent


class IJepa(Encoder):
    """I-JEPA: features from the prediction of the features of hidden parts of an image.

    Rectangles of the map are hidden from the context encoder; a predictor predicts the output of the target encoder at
    one of them, or at all. The target encoder is a moving average of the context encoder, without gradients. Loss:
    smooth L1 distance to its normalized tokens, mean over the target tokens.

    Agents use only the target encoder. Since the loss alone does not prevent features that are the same for all images,
    each validation measures that; see `Collapse`.

    Source: Assran et al. 2023, Self-supervised learning from images with a joint-embedding predictive architecture.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`, with exactly one image unless
            `image` names one.
        features: Size of a latent vector: `tokens` times `token_width`.
        tokens: Tokens in a latent vector: the square of a divisor of the map's side.
        token_width: Size of a token.
        patch: Side of the square of pixels behind one token.
        width: Size of a token inside the encoders.
        depth: Blocks of the encoders.
        heads: Attention heads of the encoders.
        predictor_width: Size of a token inside the predictor.
        predictor_depth: Blocks of the predictor.
        predictor_heads: Attention heads of the predictor.
        mask_area: Smallest and largest fraction of the map that one of the four rectangles hides.
        min_area: Smallest number of tokens in a rectangle.
        min_visible: Smallest number of visible tokens.
        targets: Predict `one` of the rectangles of an image, or `all`.
        ema_decay: Of the target encoder: target = ema_decay * target + (1 - ema_decay) * context after each step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW, on matrices only.
        warmup: Optimizer steps over which the learning rate rises from 0.
        image: Name of the image to encode.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        features: int,
        tokens: int = 16,
        token_width: int = 32,
        patch: int = 8,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        predictor_width: int = 48,
        predictor_depth: int = 2,
        predictor_heads: int = 4,
        mask_area: Sequence[float] = (0.1, 0.25),
        min_area: int = 4,
        min_visible: int = 4,
        targets: Targets = "one",
        ema_decay: float = 0.996,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.04,
        warmup: int = 1000,
        image: str | None = None,
    ) -> None:
        super().__init__(observation, features)
        self.context = TokenEncoder(observation, features, tokens, token_width, patch, width, depth, heads, image)
        self.fields = dict(self.context.fields)
        self.target = copy.deepcopy(self.context).requires_grad_(False)
        side = self.context.side
        self.predictor = Transformer(side, token_width, predictor_width, predictor_depth, predictor_heads, token_width)
        self.masks = MaskSampler(side, area=mask_area, min_area=min_area, min_visible=min_visible, targets=targets)
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be at least 0 and below 1, not {ema_decay}")
        self.ema_decay = float(ema_decay)
        self.learning_rate = float(learning_rate)
        self.weight_decay = float(weight_decay)
        self.warmup = int(warmup)

    def inference_module(self) -> TokenEncoder:
        """Agents use only the target encoder."""
        return self.target

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`; by the target encoder."""
        return self.target.encode(batch)

    def loss(self, pixels: Tensor, masks: Masks) -> Tensor:
        """The distance between predicted and target tokens, of images `(batch, channels, side, side)` from -1 to 1."""
        with torch.no_grad():
            target = self.target.normal_tokens(pixels)
        predicted = self.predictor.mark(self.context.tokens_of(pixels, masks.hidden), masks.target)
        distance = nn.functional.smooth_l1_loss(to_float32(predicted), target, reduction="none").mean(-1)
        return distance[masks.target].sum() / masks.target.sum().clamp(min=1)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of a batch of images, with masks drawn from torch's global generator."""
        pixels = self.context.pixels(batch)
        loss = self.loss(pixels, self._masks(len(pixels)))
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The same loss, on held-out images, and whether the features have collapsed."""
        pixels = self.context.pixels(batch)
        loss = self.loss(pixels, self._masks(len(pixels)))
        self.log("held_out_loss", loss)
        if len(pixels) > 1:
            for name, encoder in (("target", self.target), ("context", self.context)):
                collapse = measure_collapse(encoder.normal_tokens(pixels))
                self.log_dict({f"{name}_{metric}": value for metric, value in collapse._asdict().items()})
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Update the target encoder after each step of the optimizer."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.update_target()

    @torch.no_grad()
    def update_target(self) -> None:
        """Update the moving average of the context encoder."""
        pairs = zip(self.target.parameters(), self.context.parameters(), strict=True)
        targets, sources = map(list, zip(*pairs, strict=True))
        torch._foreach_lerp_(targets, sources, 1 - self.ema_decay)

    def configure_optimizers(self) -> Any:
        """AdamW, with decay on matrices only, and a linear warm-up of the learning rate."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in learning if parameter.ndim > 1]
        others = [parameter for parameter in learning if parameter.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, self.warmup)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _masks(self, count: int) -> Masks:
        seed = int(torch.randint(2**62, ()))
        hidden, target = self.masks(count, torch.Generator().manual_seed(seed))
        return Masks(hidden.to(self.device), target.to(self.device))
