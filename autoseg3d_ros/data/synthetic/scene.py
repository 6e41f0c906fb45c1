"""What a synthetic world consists of: instances made of parts, each a mesh with a material.

World frame: z up, the floor at z = 0. Object frame: origin at the centre of the footprint, z up, y to the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autoseg3d_ros.data.synthetic.patterns import Pattern
from autoseg3d_ros.data.synthetic.primitives import Mesh, joined, piece_bounds

Color = tuple[float, float, float]  # linear red, green, blue reflectance in [0, 1]


@dataclass(frozen=True)
class Material:
    """A colour that a pattern blends with an accent."""

    color: Color
    accent: Color
    pattern: Pattern
    gloss: float = 0.0  # share of a light that is thrown back as by a mirror: glass and screens near 1


@dataclass(frozen=True)
class Part:
    """One mesh of one material, in the frame of its object."""

    mesh: Mesh
    material: Material

    @classmethod
    def of(cls, material: Material, *meshes: Mesh) -> Part:
        """Return several meshes of one material as one part: a renderer works part by part."""
        return cls(joined(meshes), material)


@dataclass(frozen=True)
class Model:
    """A kind of thing at the origin of its object frame."""

    family: str
    parts: tuple[Part, ...]
    levels_m: tuple[float, ...] = ()  # heights of the surfaces on which other things may stand

    @cached_property
    def bounds_m(self) -> np.ndarray:
        """(2, 3) lowest and highest corner."""
        corners = np.concatenate([part.mesh.corners_m.reshape(-1, 3) for part in self.parts])
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    @cached_property
    def pieces_m(self) -> np.ndarray:
        """(K, 2, 3) bounds of the K pieces: a table's top and each of its legs."""
        return np.concatenate([piece_bounds(part.mesh) for part in self.parts])

    @property
    def size_m(self) -> np.ndarray:
        """(3,) edges of the bounds."""
        return self.bounds_m[1] - self.bounds_m[0]


@dataclass(frozen=True)
class SceneInstance:
    """A model somewhere in the world. Id 0 is the building: floor, walls, ceiling, which are not instances."""

    id: int
    model: Model
    world_from_object: np.ndarray  # (4, 4) float64

    @property
    def family(self) -> str:
        return self.model.family


@dataclass(frozen=True)
class Light:
    """A small lamp."""

    position_m: tuple[float, float, float]  # world
    strength: float = 1.0  # 1 = as bright as the one lamp of a room
    color: Color = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Scene:
    """A lit room with everything in it."""

    building: SceneInstance  # id 0
    instances: tuple[SceneInstance, ...]  # ids above 0, each once, rising
    lights: tuple[Light, ...]
    outline_m: tuple[tuple[float, float], ...]  # corners of the floor in x and y, counter-clockwise, not always convex
    height_m: float  # of the ceiling
    walk_area_m: tuple[float, float, float, float]  # x_min, y_min, x_max, y_max kept free for the camera

    @property
    def solids(self) -> tuple[SceneInstance, ...]:
        """Everything that stops a ray."""
        return (self.building, *self.instances)
