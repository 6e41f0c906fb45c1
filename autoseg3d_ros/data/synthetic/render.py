"""A scene as an ideal camera sees it: exact depth, exact instances, Lambert shading under small lamps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from autoseg3d_ros.data.synthetic.patterns import Mottled
from autoseg3d_ros.data.synthetic.raycast import Hits, RayCaster
from autoseg3d_ros.data.synthetic.scene import Light, Scene
from autoseg3d_ros.structures import CameraIntrinsics, Frame, RigidPose

_AMBIENT = 0.42
_LAMP = 5.0  # candela per unit reflectance, tuned so that white under the lamp is just below saturation
_GAMMA = 2.2
_PENUMBRA_PX = 9  # a lamp is not a point: shadow edges are softened over this width
_DIRT = Mottled(0.25)


@dataclass(frozen=True)
class View:
    """What the camera would measure without noise."""

    rgb: np.ndarray  # (H, W, 3) float32 in [0, 1], as shown on a screen
    depth_m: np.ndarray  # (H, W) float32 along the optical axis
    instance: np.ndarray  # (H, W) int32, 0 = building
    cos_incidence: np.ndarray  # (H, W) float32 in [0, 1], 0 = grazing


class Renderer:
    """A scene and a camera, ready to be looked through from many poses."""

    def __init__(self, scene: Scene, camera: CameraIntrinsics) -> None:
        self._lights = scene.lights
        self._caster = RayCaster(scene)
        surfaces = self._caster.surfaces
        self._instance = np.array([surface.instance_id for surface in surfaces], dtype=np.int32)
        materials = [surface.part.material for surface in surfaces]
        self._color = np.array([material.color for material in materials], dtype=np.float32).T.copy()  # (3, surfaces)
        self._accent = np.array([material.accent for material in materials], dtype=np.float32).T.copy()
        self._object_from_world = [np.linalg.inv(surface.world_from_object).astype(np.float32) for surface in surfaces]
        column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        self._rays = np.stack(  # (3, H * W) in the camera, z = 1: their length is the depth
            [(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones_like(row)], dtype=np.float32
        ).reshape(3, -1)
        self._shape = (camera.height, camera.width)

    def view(self, pose: RigidPose) -> View:
        """Return the view from `pose` (world_from_camera), which must be inside the room."""
        world_from_camera = pose.matrix.astype(np.float32)
        origin = world_from_camera[:3, 3]
        directions = _transformed(world_from_camera, self._rays) - origin[:, None]
        hits = self._caster.cast(origin, directions)
        points = origin[:, None] + hits.distance * directions
        facing = -(hits.normals * directions).sum(axis=0) / np.sqrt((directions**2).sum(axis=0))
        return View(
            rgb=self._shaded(points, hits),
            depth_m=hits.distance.reshape(self._shape),
            instance=self._instance[hits.surface].reshape(self._shape),
            cos_incidence=facing.reshape(self._shape),
        )

    def _shaded(self, points_m: np.ndarray, hits: Hits) -> np.ndarray:
        arriving = np.repeat(_AMBIENT * (0.8 + 0.2 * hits.normals[2])[None], 3, axis=0)  # (3, N)
        for light in self._lights:
            arriving += np.array(light.color, np.float32)[:, None] * self._from(light, points_m, hits)
        shown = np.clip(self._reflectance(points_m, hits.surface) * arriving, 0, 1) ** np.float32(1 / _GAMMA)
        return np.ascontiguousarray(shown.T).reshape(*self._shape, 3)

    def _from(self, light: Light, points_m: np.ndarray, hits: Hits) -> np.ndarray:
        """Return (N,) what arrives from one lamp."""
        lamp = np.asarray(light.position_m, dtype=np.float32)
        to_lamp = lamp[:, None] - points_m
        square = (to_lamp**2).sum(axis=0)
        lambert = np.maximum((to_lamp * hits.normals).sum(axis=0), 0) / np.sqrt(square)
        sharp = self._caster.lit(points_m, hits.normals, lamp).astype(np.float32).reshape(self._shape)
        lit = cv2.GaussianBlur(sharp, (_PENUMBRA_PX, _PENUMBRA_PX), 0).ravel()
        return _LAMP * light.strength * lit * lambert / (2 + square)

    def _reflectance(self, points_m: np.ndarray, surface: np.ndarray) -> np.ndarray:
        """Return the linear colour (3, N) of the points (3, N) on their surfaces (N,)."""
        share, dirt = np.empty((2, len(surface)), dtype=np.float32)
        order = np.argsort(surface, kind="stable")
        visible, starts = np.unique(surface[order], return_index=True)
        for index, chosen in zip(visible, np.split(order, starts[1:]), strict=True):  # one visible surface at a time
            local = _transformed(self._object_from_world[index], points_m[:, chosen])
            share[chosen] = self._caster.surfaces[index].part.material.pattern.weight(local)
            dirt[chosen] = _DIRT.weight(local)
        color, accent = (np.take(table, surface, axis=1) for table in (self._color, self._accent))
        return (0.88 + 0.12 * dirt) * (color + share * (accent - color))


def render(scene: Scene, camera: CameraIntrinsics, pose: RigidPose) -> Frame:
    """Return one noise-free frame of `scene`; for many poses keep a `Renderer`."""
    view = Renderer(scene, camera).view(pose)
    rgb = np.rint(view.rgb * 255).astype(np.uint8)
    return Frame(stamp_ns=0, rgb=rgb, depth_m=view.depth_m, camera=camera, pose=pose, truth=view.instance)


def _transformed(target_from_source: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (3, N) points after a (4, 4) transform. Sums of planes: BLAS would start threads of its own for this."""
    x, y, z = points
    return np.stack([a * x + b * y + c * z + d for a, b, c, d in target_from_source[:3]])
