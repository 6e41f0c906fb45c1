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
GAMMA = 2.2  # shown = radiance^(1 / GAMMA)
_PENUMBRA_WIDTHS = 9 / 640  # a lamp is not a point: shadow edges are softened over this share of the image
_SHADOW_STRIDE = 2  # shadows are soft, so that every second row and column is enough
_SHADOW_CASTERS = 2  # the strongest lamps; the others only brighten
_LOBE = 80  # how small the picture of a lamp is in glass: Phong's exponent
_DIRT = Mottled(0.25)


@dataclass(frozen=True)
class View:
    """What the camera would measure without noise."""

    radiance: np.ndarray  # (H, W, 3) float32, linear, 1 = just white at the usual exposure, may be more
    depth_m: np.ndarray  # (H, W) float32 along the optical axis
    instance: np.ndarray  # (H, W) int32, 0 = building
    cos_incidence: np.ndarray  # (H, W) float32 in [0, 1], 0 = grazing
    normal: np.ndarray  # (H, W, 3) float32, world, unit, towards the camera
    reflectance: np.ndarray  # (H, W) float32 in [0, 1], mean over the colours: how bright the surface itself is
    gloss: np.ndarray  # (H, W) float32 in [0, 1], 1 = glass

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1], as shown on a screen."""
        return np.clip(self.radiance, 0, 1) ** np.float32(1 / GAMMA)


class Renderer:
    """A scene and a camera, ready to be looked through from many poses."""

    def __init__(self, scene: Scene, camera: CameraIntrinsics) -> None:
        self._lights = sorted(scene.lights, key=lambda light: -light.strength)
        self._caster = RayCaster(scene)
        surfaces = self._caster.surfaces
        self._instance = np.array([surface.instance_id for surface in surfaces], dtype=np.int32)
        materials = [surface.part.material for surface in surfaces]
        self._color = np.array([material.color for material in materials], dtype=np.float32).T.copy()  # (3, surfaces)
        self._accent = np.array([material.accent for material in materials], dtype=np.float32).T.copy()
        self._gloss = np.array([material.gloss for material in materials], dtype=np.float32)
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
        color, gloss = self._reflectance(points, hits.surface), self._gloss[hits.surface]
        diffuse, mirrored = color * self._arriving(points, hits), self._mirrored(points, directions, hits, gloss)
        return View(
            radiance=self._image(diffuse + mirrored),
            depth_m=hits.distance.reshape(self._shape),
            instance=self._instance[hits.surface].reshape(self._shape),
            cos_incidence=facing.reshape(self._shape),
            normal=self._image(hits.normals),
            gloss=gloss.reshape(self._shape),
            reflectance=color.mean(axis=0).reshape(self._shape),
        )

    def _image(self, planes: np.ndarray) -> np.ndarray:
        """Return (H, W, 3) of (3, H * W)."""
        return np.ascontiguousarray(planes.T).reshape(*self._shape, 3)

    def _arriving(self, points_m: np.ndarray, hits: Hits) -> np.ndarray:
        """Return the light (3, N) that falls on the points."""
        arriving = np.repeat(_AMBIENT * (0.8 + 0.2 * hits.normals[2])[None], 3, axis=0)  # (3, N)
        for rank, light in enumerate(self._lights):
            alone = self._from(light, points_m, hits)
            if rank < _SHADOW_CASTERS:
                alone *= self._lit(light, points_m, hits)
            arriving += np.array(light.color, np.float32)[:, None] * alone
        return arriving

    def _from(self, light: Light, points_m: np.ndarray, hits: Hits) -> np.ndarray:
        """Return (N,) what arrives from one lamp where nothing is in the way."""
        to_lamp = np.asarray(light.position_m, dtype=np.float32)[:, None] - points_m
        square = (to_lamp**2).sum(axis=0)
        lambert = np.maximum((to_lamp * hits.normals).sum(axis=0), 0) / np.sqrt(square)
        return np.float32(_LAMP * light.strength) * lambert / (2 + square)

    def _lit(self, light: Light, points_m: np.ndarray, hits: Hits) -> np.ndarray:
        """Return (N,) the share of a lamp that is seen from the points."""
        height, width = self._shape
        points, normals = (self._thinned(planes) for planes in (points_m, hits.normals))
        lamp = np.asarray(light.position_m, dtype=np.float32)
        lit = self._caster.lit(points, normals, lamp).astype(np.float32)
        coarse = lit.reshape(-(-height // _SHADOW_STRIDE), -(-width // _SHADOW_STRIDE))
        side_px = 2 * round(_PENUMBRA_WIDTHS * width / _SHADOW_STRIDE / 2) + 1
        soft = cv2.GaussianBlur(coarse, (side_px, side_px), 0)
        return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR).ravel()

    def _mirrored(self, points_m: np.ndarray, directions: np.ndarray, hits: Hits, gloss: np.ndarray) -> np.ndarray:
        """Return the light (3, N) of the lamps in glossy surfaces: Phong's lobe, without shadows."""
        shine = np.zeros((3, len(gloss)), dtype=np.float32)
        glossy = np.flatnonzero(gloss)
        points, normals, seen = points_m[:, glossy], hits.normals[:, glossy], directions[:, glossy]
        mirrored = seen - 2 * (seen * normals).sum(axis=0) * normals
        for light in self._lights:
            to_lamp = np.asarray(light.position_m, dtype=np.float32)[:, None] - points
            length = np.sqrt((to_lamp**2).sum(axis=0) * (mirrored**2).sum(axis=0))
            lobe = np.maximum((to_lamp * mirrored).sum(axis=0) / length, 0) ** np.float32(_LOBE)
            shine[:, glossy] += np.array(light.color, np.float32)[:, None] * (light.strength * gloss[glossy] * lobe)
        return shine

    def _thinned(self, planes: np.ndarray) -> np.ndarray:
        """Return every `_SHADOW_STRIDE`th row and column of (3, H * W) as (3, K)."""
        return planes.reshape(3, *self._shape)[:, ::_SHADOW_STRIDE, ::_SHADOW_STRIDE].reshape(3, -1)

    def _reflectance(self, points_m: np.ndarray, surface: np.ndarray) -> np.ndarray:
        """Return the linear colour (3, N) of the points (3, N) on their surfaces (N,)."""
        order = np.argsort(surface, kind="stable")  # of 16 bits: a radix sort
        visible, starts = np.unique(surface[order], return_index=True)
        points = np.take(points_m, order, axis=1)
        share = np.empty(len(surface), dtype=np.float32)
        for index, start, end in zip(visible, starts, [*starts[1:], len(surface)], strict=True):  # one visible surface
            points[:, start:end] = _transformed(self._object_from_world[index], points[:, start:end])
            share[start:end] = self._caster.surfaces[index].part.material.pattern.weight(points[:, start:end])
        in_order = surface[order]
        color, accent = (np.take(table, in_order, axis=1) for table in (self._color, self._accent))
        shown = np.empty_like(color)
        shown[:, order] = (0.88 + 0.12 * _DIRT.weight(points)) * (color + share * (accent - color))
        return shown


def render(scene: Scene, camera: CameraIntrinsics, pose: RigidPose) -> Frame:
    """Return one noise-free frame of `scene`; for many poses keep a `Renderer`."""
    view = Renderer(scene, camera).view(pose)
    rgb = np.rint(view.rgb * 255).astype(np.uint8)
    return Frame(stamp_ns=0, rgb=rgb, depth_m=view.depth_m, camera=camera, pose=pose, truth=view.instance)


def _transformed(target_from_source: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (3, N) points after a (4, 4) transform. Sums of planes: BLAS would start threads of its own for this."""
    x, y, z = points
    return np.stack([a * x + b * y + c * z + d for a, b, c, d in target_from_source[:3]])
