"""One random distortion of the world for all frames of a clip (`method.md` §8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch.nn import functional

_SMOOTHINGS = 2  # each over three neighbouring nodes along each axis, as is usual for sparse convolutions


@dataclass(frozen=True)
class ElasticGrid:
    """How finely and how far an elastic distortion bends, in voxels of `AugmentationConfig.elastic_voxel_m`."""

    spacing: float  # between nodes
    magnitude: float  # standard deviation at a node before smoothing, which leaves about a ninth


@dataclass(frozen=True)
class AugmentationConfig:
    """What may happen to a clip. The defaults are the paper's numbers."""

    flip_probability: float = 0.5  # of x, and again of y
    max_rotation_rad: float = 3.14  # about z, either way
    scale: tuple[float, float] = (0.8, 1.2)
    shift_std_m: float = 0.1  # along each axis
    elastic_probability: float = 0.5
    elastic: tuple[ElasticGrid, ...] = (ElasticGrid(6, 40), ElasticGrid(20, 160))  # one after the other
    elastic_voxel_m: float = 0.02
    # Beyond the paper: each channel times 1 ± gain, plus ± shift, uniformly drawn.
    colour_gain: float = 0.0
    colour_shift: float = 0.0  # of 255


NO_AUGMENTATION = AugmentationConfig(
    flip_probability=0, max_rotation_rad=0, scale=(1, 1), shift_std_m=0, elastic_probability=0
)


@dataclass(frozen=True)
class ElasticField:
    """A smooth displacement: known at the nodes of a grid, linear in between, beyond it that of its rim."""

    origin_m: np.ndarray  # (3,) place of the first node
    spacing_m: float
    displacement_m: np.ndarray  # (3, X, Y, Z) float32, at least two nodes an axis

    @classmethod
    def draw(
        cls, grid: ElasticGrid, voxel_m: float, low_m: np.ndarray, high_m: np.ndarray, rng: np.random.Generator
    ) -> ElasticField:
        """Draw a field that covers the box from `low_m` (3,) to `high_m` (3,)."""
        spacing_m = grid.spacing * voxel_m
        num_nodes = np.ceil((high_m - low_m) / spacing_m).astype(np.int64) + 2
        noise = rng.standard_normal((3, *num_nodes), np.float32)
        for axis in (1, 2, 3) * _SMOOTHINGS:
            noise = uniform_filter1d(noise, 3, axis, mode="constant")
        return cls(low_m, spacing_m, noise * np.float32(grid.magnitude * voxel_m))

    @property
    def reach_m(self) -> float:
        """The most that a coordinate changes."""
        return float(np.abs(self.displacement_m).max())

    def moved(self, xyz_m: np.ndarray) -> np.ndarray:
        """Return points (N, 3) float32 where the field takes them."""
        last_node = np.array(self.displacement_m.shape[1:]) - 1
        place = (xyz_m - self.origin_m) * (2 / (self.spacing_m * last_node)) - 1  # -1 the first node, 1 the last one
        shift_m = functional.grid_sample(  # twice as fast as scipy's
            torch.from_numpy(self.displacement_m)[None],
            torch.from_numpy(place[:, ::-1].astype(np.float32))[None, None, None],  # counts axes from the last one
            padding_mode="border",
            align_corners=True,
        )
        return xyz_m + shift_m.reshape(3, -1).T.numpy()


@dataclass(frozen=True)
class Augmentation:
    """A distortion of the world and of its colours, drawn once."""

    linear: np.ndarray  # (3, 3) float32: flips, rotation about z and scale
    shift_m: np.ndarray  # (3,) float32
    elastic: tuple[ElasticField, ...]
    colour_gain: np.ndarray  # (3,)
    colour_shift: np.ndarray  # (3,), of 255

    @classmethod
    def draw(cls, config: AugmentationConfig, frames_m: Sequence[np.ndarray], rng: np.random.Generator) -> Augmentation:
        """Draw one for a clip whose frames have the points (N, 3) `frames_m`."""
        flip = np.where(rng.random(2) < config.flip_probability, -1.0, 1.0)
        angle_rad = rng.uniform(-config.max_rotation_rad, config.max_rotation_rad)
        linear = rng.uniform(*config.scale) * _rotation_about_z(angle_rad) @ np.diag([*flip, 1.0])
        shift_m = rng.normal(0.0, config.shift_std_m, 3)
        gain = rng.uniform(1 - config.colour_gain, 1 + config.colour_gain, 3)
        colour_shift = rng.uniform(-config.colour_shift, config.colour_shift, 3)
        rigid = cls(linear.astype(np.float32), shift_m.astype(np.float32), (), gain, colour_shift)
        if rng.random() >= config.elastic_probability:
            return rigid
        points_m = np.concatenate([np.zeros((0, 3), np.float32), *map(rigid.moved, frames_m)])
        if not len(points_m):
            return rigid
        low_m, high_m, fields = points_m.min(axis=0), points_m.max(axis=0), []
        for grid in config.elastic:
            fields.append(ElasticField.draw(grid, config.elastic_voxel_m, low_m, high_m, rng))
            low_m, high_m = low_m - fields[-1].reach_m, high_m + fields[-1].reach_m
        return replace(rigid, elastic=tuple(fields))

    def moved(self, xyz_m: np.ndarray) -> np.ndarray:
        """Return points (N, 3) float32 of the world where they come to lie."""
        xyz_m = xyz_m @ self.linear.T + self.shift_m
        for field in self.elastic:
            xyz_m = field.moved(xyz_m)
        return xyz_m

    def recoloured(self, rgb: np.ndarray) -> np.ndarray:
        """Return colours (N, 3) uint8."""
        return np.clip(np.rint(rgb * self.colour_gain + self.colour_shift), 0, 255).astype(np.uint8)


def _rotation_about_z(angle_rad: float) -> np.ndarray:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
