"""The few surfaces that all furniture is made of, as triangles with a normal at each corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Vector = Sequence[float] | np.ndarray  # (3,)

_SEGMENTS = 40  # around an axis: below a pixel of error for a hand-sized object a metre away
_SHARPEST_SMOOTH_EDGE = np.cos(np.radians(40.0))


@dataclass(frozen=True)
class Mesh:
    """Triangles in the frame of their object; metres."""

    corners_m: np.ndarray  # (F, 3, 3) float64
    normals: np.ndarray  # (F, 3, 3) float64, unit, outward
    pieces: tuple[int, ...] = (0,)  # first triangle of each surface that the mesh was joined of

    def moved(self, target_from_source: np.ndarray) -> Mesh:
        """Return the mesh after a rigid (4, 4) transform."""
        rotation, translation = target_from_source[:3, :3], target_from_source[:3, 3]
        return Mesh(self.corners_m @ rotation.T + translation, self.normals @ rotation.T, self.pieces)


def rigid(
    x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0, yaw_rad: float = 0.0, tilt_rad: float = 0.0
) -> np.ndarray:
    """Return the (4, 4) transform that tilts about x, then turns about z, then shifts."""
    (cos_yaw, sin_yaw), (cos_tilt, sin_tilt) = ((np.cos(angle), np.sin(angle)) for angle in (yaw_rad, tilt_rad))
    turn = np.array([[cos_yaw, -sin_yaw, 0.0], [sin_yaw, cos_yaw, 0.0], [0.0, 0.0, 1.0]])
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, cos_tilt, -sin_tilt], [0.0, sin_tilt, cos_tilt]])
    transform = np.eye(4)
    transform[:3, :3] = turn @ tilt
    transform[:3, 3] = (x_m, y_m, z_m)
    return transform


def box(size_m: Vector, base_m: Vector = (0.0, 0.0, 0.0)) -> Mesh:
    """Return an axis-aligned box that stands on `base_m`, the centre of its lower face."""
    half = np.asarray(size_m, dtype=np.float64) / 2
    centre = np.asarray(base_m, dtype=np.float64) + np.array([0.0, 0.0, half[2]])
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64)  # counter-clockwise seen from outside
    corners, normals = [], []
    for axis in range(3):
        for side in (-1.0, 1.0):
            quad = np.empty((4, 3))
            quad[:, axis] = side
            quad[:, [(axis + 1) % 3, (axis + 2) % 3]] = signs if side > 0 else signs[::-1]
            corners.append(quad[[[0, 1, 2], [0, 2, 3]]])  # (2, 3, 3)
            normals.append(np.broadcast_to(side * np.eye(3)[axis], (2, 3, 3)))
    return Mesh(np.concatenate(corners) * half + centre, np.concatenate(normals))


def lathe(profile_m: Sequence[tuple[float, float]], base_m: Vector = (0.0, 0.0, 0.0)) -> Mesh:
    """Return the surface that a (radius, height) profile sweeps about the z axis through `base_m`.

    A profile that rises has its outside outside; it is rounded where two of its segments meet at less than 40 degrees.
    """
    profile = np.asarray(profile_m, dtype=np.float64)
    first, last = _profile_normals(profile)  # (K - 1, 2) at the two ends of each segment
    angle = np.linspace(0.0, 2 * np.pi, _SEGMENTS + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def sweep(radius_height: np.ndarray) -> np.ndarray:
        """(K - 1, 2) to (K - 1, segments + 1, 3)."""
        ring = radius_height[:, None, :1] * circle
        return np.concatenate([ring, np.broadcast_to(radius_height[:, None, 1:], (*ring.shape[:2], 1))], axis=2)

    corners = _triangulated(sweep(profile[:-1]), sweep(profile[1:]))
    keep = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 1e-12
    return Mesh((corners + np.asarray(base_m))[keep], _triangulated(sweep(first), sweep(last))[keep])


def cylinder(radius_m: float, height_m: float, base_m: Vector = (0.0, 0.0, 0.0)) -> Mesh:
    """Return a closed upright cylinder that stands on `base_m`."""
    return lathe([(0.0, 0.0), (radius_m, 0.0), (radius_m, height_m), (0.0, height_m)], base_m)


def superellipsoid(
    size_m: Vector, exponent: float = 2.0, base_m: Vector = (0.0, 0.0, 0.0), num_cells: int = 12
) -> Mesh:
    """Return the closed surface |x/a|^n + |y/b|^n + |z/c|^n = 1 on `base_m`: n = 2 is an egg, 4 a cushion.

    It has 12 `num_cells`^2 triangles.
    """
    half = np.asarray(size_m, dtype=np.float64) / 2
    ticks = np.linspace(-1, 1, num_cells + 1)
    u, v = np.meshgrid(ticks, ticks, indexing="ij")
    one = np.ones_like(u)
    faces = []
    for axis in range(3):  # a sphere from the six faces of a cube: no poles, even triangles
        for side in (-1.0, 1.0):
            grid = np.empty((*u.shape, 3))
            grid[..., axis], grid[..., (axis + 1) % 3], grid[..., (axis + 2) % 3] = side * one, side * u, v
            faces.append(_triangulated(grid[1:], grid[:-1]))
    direction = np.concatenate(faces)
    unit = direction / (np.abs(direction) ** exponent).sum(axis=2, keepdims=True) ** (1 / exponent)
    normals = np.sign(unit) * np.abs(unit) ** (exponent - 1) / half
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return Mesh(unit * half + np.asarray(base_m) + np.array([0.0, 0.0, half[2]]), normals)


def ribbon(line_m: np.ndarray, height_m: float) -> Mesh:
    """Return the upright sheet over a (K, 2) line on the ground: a curtain. It has no thickness and two sides."""
    along = np.gradient(line_m, axis=0)
    across = np.column_stack([along[:, 1], -along[:, 0], np.zeros(len(along))])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    low = np.column_stack([line_m, np.zeros(len(line_m))])[None]
    normals = _triangulated(across[None], across[None])
    return Mesh(_triangulated(low, low + (0.0, 0.0, height_m)), normals)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Return several meshes as one that remembers its pieces."""
    corners, normals = ([getattr(mesh, name) for mesh in meshes] for name in ("corners_m", "normals"))
    firsts = np.cumsum([0] + [len(part) for part in corners[:-1]])
    pieces = tuple(int(first) + start for first, mesh in zip(firsts, meshes, strict=True) for start in mesh.pieces)
    return Mesh(np.concatenate(corners), np.concatenate(normals), pieces)


def piece_bounds(mesh: Mesh) -> np.ndarray:
    """Return (K, 2, 3) lowest and highest corner of each piece."""
    low, high = mesh.corners_m.min(axis=1), mesh.corners_m.max(axis=1)  # (F, 3)
    return np.stack([np.minimum.reduceat(low, mesh.pieces), np.maximum.reduceat(high, mesh.pieces)], axis=1)


def _triangulated(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Split the quads between the rows `lower` and `upper`, each (R, C, 3), into (2 R (C - 1), 3, 3) triangles."""
    a, b, c, d = lower[:, :-1], lower[:, 1:], upper[:, 1:], upper[:, :-1]
    return np.stack([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)], axis=2).reshape(-1, 3, 3)


def _profile_normals(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outward (radius, height) normals at the start and the end of each segment of a (K, 2) profile."""
    along = np.diff(profile, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    first, last = normal.copy(), normal.copy()
    smooth = (normal[:-1] * normal[1:]).sum(axis=1) > _SHARPEST_SMOOTH_EDGE
    shared = (normal[:-1] + normal[1:])[smooth]
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    last[:-1][smooth] = first[1:][smooth] = shared
    return first, last
