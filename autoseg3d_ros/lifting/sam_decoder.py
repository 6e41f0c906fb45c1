"""The mask decoder of Segment Anything (Kirillov et al. 2023) in torch, for many points in one image.

It gives what the ONNX export of the decoder gives, up to rounding, for a third of the work: see `sam_transformer`, and
here a mask is drawn only when it is asked for, and only where the image is.

The modules have the names and shapes of SAM's, so that its weights fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, relu

from autoseg3d_ros.lifting.sam_transformer import WIDTH, Transformer

_NUM_MASKS = 4  # that a prompt may mean; the first is for prompts of several points
_SIDE = 64  # places along a side of the embedded square
_SIDE_PX = 1024  # pixels along the same side
_ZOOM = 4  # logits along a side of a place


@dataclass(frozen=True)
class Proposals:
    """The masks that one point may mean, not drawn yet."""

    features: Tensor  # (N, C) of the places of the image, as this prompt makes them look
    tokens: Tensor  # (masks, C)
    iou: Tensor  # (masks,) what the network thinks of its masks


class MaskDecoder(nn.Module):
    """Answers points in an image with masks."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt_encoder = PromptEncoder()
        self.no_mask_embed = nn.Parameter(torch.zeros(WIDTH))
        self.output_tokens = nn.Parameter(torch.zeros(1 + _NUM_MASKS, WIDTH))
        self.transformer = Transformer()
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(WIDTH, 64, 2, stride=2),
            nn.LayerNorm(64, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(64, 32, 2, stride=2),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Perceptron(32) for _ in range(_NUM_MASKS))
        self.iou_prediction_head = Perceptron(_NUM_MASKS)

    @torch.inference_mode()
    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take SAM's weights by their names. Raises ValueError if one is missing or has another shape."""
        shapes = {name: tuple(parameter.shape) for name, parameter in self.state_dict().items()}
        unfit = [name for name, shape in shapes.items() if name not in weights or weights[name].shape != shape]
        if unfit:
            name = unfit[0]
            got = weights[name].shape if name in weights else "none"
            raise ValueError(
                f"{len(unfit)} of {len(shapes)} weights do not fit, first {name}: expected {shapes[name]}, got {got}"
            )
        self.load_state_dict({name: torch.tensor(weights[name]) for name in shapes})
        self.transformer.place(self.prompt_encoder.positions())

    @torch.inference_mode()
    def features(self, embedding: Tensor) -> Tensor:
        """Return the places (N, C) of an embedded image (1, C, 64, 64)."""
        return (embedding.view(WIDTH, -1) + self.no_mask_embed[:, None]).T.contiguous()

    @torch.inference_mode()
    def propose(self, features: Tensor, x_y_px: Tensor) -> Proposals:
        """Return the masks around a point (2,) in the square of 1024 x 1024 pixels."""
        prompt = torch.cat([self.output_tokens, self.prompt_encoder(x_y_px)])
        features, tokens = self.transformer(features, prompt)
        return Proposals(features, tokens[1 : 1 + _NUM_MASKS], self.iou_prediction_head(tokens[0]))

    @torch.inference_mode()
    def draw(self, proposals: Proposals, chosen: Sequence[int], shape: tuple[int, int]) -> Tensor:
        """Return the logits of chosen masks (n, rows, columns), above 0 = inside: the first ones of 256 x 256."""
        num_rows, num_columns = (math.ceil(side / _ZOOM) for side in shape)
        features = proposals.features.view(_SIDE, _SIDE, WIDTH)[:num_rows, :num_columns]
        first, norm, _, second = self.output_upscaling
        quarters = gelu(norm(_upscale(features, cast(nn.ConvTranspose2d, first))))
        sixteenths = gelu(_upscale(quarters, cast(nn.ConvTranspose2d, second)))  # (rows, columns, 2, 2, 2, 2, 32)
        filters = [self.output_hypernetworks_mlps[index](proposals.tokens[index]) for index in chosen]
        logits = torch.stack([sixteenths @ each for each in filters])  # (n, rows, columns, 2, 2, 2, 2)
        logits = logits.permute(0, 1, 3, 5, 2, 4, 6).reshape(len(chosen), num_rows * _ZOOM, num_columns * _ZOOM)
        return logits[:, : shape[0], : shape[1]]


class PromptEncoder(nn.Module):
    """Turns points into tokens, and knows where the places are."""

    def __init__(self) -> None:
        super().__init__()
        self.pe_layer = nn.ParameterDict({"positional_encoding_gaussian_matrix": torch.zeros(2, WIDTH // 2)})
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, WIDTH) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, WIDTH)

    def forward(self, x_y_px: Tensor) -> Tensor:
        """Return the tokens (2, C) of a point (2,) inside an object; the second one stands for the box that lacks."""
        inside = self._encode((x_y_px + 0.5) / _SIDE_PX) + cast(Tensor, self.point_embeddings[1].weight)
        return torch.cat([inside, self.not_a_point_embed.weight])

    def positions(self) -> Tensor:
        """Return where each place is, (N, C), row by row."""
        centre = (torch.arange(_SIDE, device=self.not_a_point_embed.weight.device) + 0.5) / _SIDE
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        return self._encode(torch.stack([x, y], dim=-1).reshape(-1, 2))

    def _encode(self, x_y: Tensor) -> Tensor:
        """Return the random Fourier features (..., C) of points (..., 2) in [0, 1]."""
        angle = (2 * x_y - 1) @ self.pe_layer["positional_encoding_gaussian_matrix"] * (2 * math.pi)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Perceptron(nn.Module):
    """Three linear layers."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, size) for size in (WIDTH, WIDTH, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., outputs) of (..., C)."""
        first, second, last = self.layers
        return cast(Tensor, last(relu(second(relu(first(x))))))


def _upscale(x: Tensor, convolution: nn.ConvTranspose2d) -> Tensor:
    """Return (..., channels) as (..., 2, 2, fewer channels): a transposed convolution whose 2 x 2 pixels never meet."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # (2, 2, outputs, inputs)
    return linear(x, weight.flatten(0, 2)).unflatten(-1, weight.shape[:3]) + convolution.bias
