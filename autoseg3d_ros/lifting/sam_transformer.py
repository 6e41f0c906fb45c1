"""The transformer in SAM's mask decoder: the tokens of one prompt and the places of the image look at each other.

It gives what SAM's own gives, up to rounding, for less than half of the work: no attention between T tokens and N
places projects the features of the places. As (x Wq) (t Wk)' = x (t Wk Wq')' and softmax(s) (x Wv) = (softmax(s) x) Wv,
both projections can be made on the side of the tokens; T is 7, N is 4096.

The modules have the names and shapes of SAM's, so that its weights fit.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

WIDTH = 256  # channels C of tokens and places
_NUM_HEADS = 8  # H, of d channels
_NUM_HIDDEN = 2048


class Attention(nn.Module):
    """Attention of tokens to tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, width) for _ in range(3))
        self.out_proj = nn.Linear(width, WIDTH)
        self.scale = (width // _NUM_HEADS) ** -0.5

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return what (T, C) queries find in the values (T, C) of the keys (T, C)."""
        query, key, value = _heads(self.q_proj(queries)), _heads(self.k_proj(keys)), _heads(self.v_proj(values))
        return self.joined((query @ key.mT * self.scale).softmax(-1) @ value)

    def joined(self, heads: Tensor) -> Tensor:
        """Return (T, C) of what the heads found, (H, T, d)."""
        return cast(Tensor, self.out_proj(heads.transpose(0, 1).flatten(1)))


class TokenToImage(Attention):
    """Attention of tokens to places."""

    def place(self, positions: Tensor) -> None:
        """Take where the places are, (N, C)."""
        self.positions = _heads(self.k_proj(positions)).mT.contiguous()

    def forward(self, tokens: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
        """Return what tokens (T, C) find in places (N, C)."""
        queries = _heads(self.q_proj(tokens)) * self.scale
        weights = _scores(queries, features, self.k_proj, self.positions).softmax(-1)
        found = (weights.flatten(0, 1) @ features).view(*weights.shape[:2], WIDTH)
        values = found @ _per_head(self.v_proj.weight).mT + _per_head(self.v_proj.bias)[:, None]
        return self.joined(values)


class ImageToToken(Attention):
    """Attention of places to tokens."""

    def place(self, positions: Tensor) -> None:
        """Take where the places are, (N, C)."""
        self.positions = _heads(self.q_proj(positions)).mT.contiguous()

    def forward(self, features: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return the places (N, C) plus what they find in the values (T, C) of the keys (T, C)."""
        key, value = _heads(self.k_proj(keys)) * self.scale, _heads(self.v_proj(values))
        weights = _scores(key, features, self.q_proj, self.positions).softmax(1)
        # The weights of a head sum to 1 over the tokens, so that each of its values can bring a share of the bias.
        told = value @ self.out_proj.weight.T.unflatten(0, (_NUM_HEADS, -1)) + self.out_proj.bias / _NUM_HEADS
        return torch.addmm(features, weights.flatten(0, 1).T, told.flatten(0, 1))


class Layer(nn.Module):
    """Tokens look at each other and at the image, think, and the image looks at them."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = Attention(WIDTH)
        self.cross_attn_token_to_image = TokenToImage(WIDTH // 2)
        self.cross_attn_image_to_token = ImageToToken(WIDTH // 2)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(WIDTH, _NUM_HIDDEN), "lin2": nn.Linear(_NUM_HIDDEN, WIDTH)})
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(WIDTH) for _ in range(4))

    def forward(self, features: Tensor, tokens: Tensor | None, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return places (N, C) and tokens (T, C) after this layer; the first layer gets None for the tokens."""
        if tokens is None:
            tokens = self.norm1(self.self_attn(prompt, prompt, prompt))
        else:
            tokens = self.norm1(tokens + self.self_attn(tokens + prompt, tokens + prompt, tokens))
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + prompt, features))
        tokens = self.norm3(tokens + self.mlp["lin2"](relu(self.mlp["lin1"](tokens))))
        features = self.norm4(self.cross_attn_image_to_token(features, tokens + prompt, tokens))
        return features, tokens


class Transformer(nn.Module):
    """Two layers, and a last look of the tokens at the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.final_attn_token_to_image = TokenToImage(WIDTH // 2)
        self.norm_final_attn = nn.LayerNorm(WIDTH)

    def place(self, positions: Tensor) -> None:
        """Take where the places are, (N, C); to be called again whenever the weights have changed."""
        for module in self.modules():
            if isinstance(module, (TokenToImage, ImageToToken)):
                module.place(positions)

    def forward(self, features: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return places (N, C) and the tokens of a prompt (T, C) after they have looked at each other."""
        first, second = self.layers
        features, tokens = first(features, None, prompt)
        features, tokens = second(features, tokens, prompt)
        return features, self.norm_final_attn(tokens + self.final_attn_token_to_image(tokens + prompt, features))


def _scores(tokens: Tensor, features: Tensor, projection: nn.Linear, positions: Tensor) -> Tensor:
    """Return how well projected tokens (H, T, d) and places fit, (H, T, N).

    The places have features (N, C), that `projection` would project, and positions (H, d, N), which are projected.
    """
    folded = tokens @ _per_head(projection.weight)  # (H, T, C)
    scores = (tokens @ positions).flatten(0, 1)
    return scores.addmm_(folded.flatten(0, 1), features.T).view(*tokens.shape[:2], -1)


def _heads(channels: Tensor) -> Tensor:
    """Return (n, H * d) as (H, n, d)."""
    return channels.unflatten(-1, (_NUM_HEADS, -1)).transpose(0, 1)


def _per_head(parameter: Tensor) -> Tensor:
    """Return (H * d, ...) as (H, d, ...)."""
    return parameter.unflatten(0, (_NUM_HEADS, -1))
