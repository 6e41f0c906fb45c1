"""First hits of rays with a scene, by Embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.data.synthetic.scene import Part, Scene

_SHADOW_BIAS_M = 2e-3  # lifts the start of a shadow ray off the surface it starts from


@dataclass(frozen=True)
class Hits:
    """Where N rays end; all of them do, because a room is closed."""

    distance: np.ndarray  # (N,) float32, in lengths of the ray's direction
    surface: np.ndarray  # (N,) uint16 index into `RayCaster.surfaces`
    normals: np.ndarray  # (3, N) float32, unit, world, towards the ray's origin


@dataclass(frozen=True)
class Surface:
    """One part of one instance, placed in the world."""

    part: Part
    instance_id: int
    world_from_object: np.ndarray  # (4, 4)


class RayCaster:
    """A scene made ready for rays."""

    def __init__(self, scene: Scene) -> None:
        """Raises ImportError with the command that mends it where embreex is not installed."""
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise ImportError(
                "synthetic rooms need the ray caster embreex, which is not installed: pip install embreex "
                "(wheels for x86-64 Linux, macOS and Windows)"
            ) from error
        self.surfaces = tuple(
            Surface(part, solid.id, solid.world_from_object) for solid in scene.solids for part in solid.model.parts
        )
        meshes = [surface.part.mesh.moved(surface.world_from_object) for surface in self.surfaces]
        corners = np.concatenate([mesh.corners_m for mesh in meshes]).astype(np.float32)
        first, second, third = np.concatenate([mesh.normals for mesh in meshes]).astype(np.float32).transpose(1, 2, 0)
        self._normals = [np.ascontiguousarray(planes) for planes in (first, second - first, third - first)]  # (3, F)
        self._surface_of_triangle = np.repeat(
            np.arange(len(meshes), dtype=np.uint16), [len(mesh.corners_m) for mesh in meshes]
        )
        self._embree = EmbreeScene()
        TriangleMesh(self._embree, corners)
        # The first ray makes Embree build its tree, which must not happen in two threads at once.
        self._embree.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))

    def cast(self, origin_m: np.ndarray, directions: np.ndarray) -> Hits:
        """Return the first hits of rays from one point (3,) along (3, N) directions, in the world, float32."""
        rows = np.ascontiguousarray(directions.T)  # (N, 3)
        origins = np.broadcast_to(origin_m, rows.shape).copy()
        found = self._embree.run(origins, rows, output=True)
        u, v, triangle = found["u"], found["v"], found["primID"]
        at_first, to_second, to_third = (np.take(planes, triangle, axis=1) for planes in self._normals)  # (3, N)
        normals = at_first + u * to_second + v * to_third
        normals *= -np.sign((normals * directions).sum(axis=0)) / np.sqrt((normals**2).sum(axis=0))
        return Hits(found["tfar"], self._surface_of_triangle[triangle], normals)

    def lit(self, points_m: np.ndarray, normals: np.ndarray, light_m: np.ndarray) -> np.ndarray:
        """Return (N,) bool: nothing stands between the points (3, N) and the light (3,)."""
        starts = np.ascontiguousarray((points_m + _SHADOW_BIAS_M * normals).T)
        whole_way = np.ones(len(starts), dtype=np.float32)
        return self._embree.run(starts, light_m - starts, dists=whole_way, query="OCCLUDED") < 0
