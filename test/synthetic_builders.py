"""A bare closed room, and views that no room has, for tests of the synthetic world."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.patterns import Mottled
from autoseg3d_ros.data.synthetic.primitives import box
from autoseg3d_ros.data.synthetic.render import View
from autoseg3d_ros.data.synthetic.scene import Light, Material, Model, Part, Scene, SceneInstance

GREY = Material((0.4, 0.4, 0.4), (0.4, 0.4, 0.4), Mottled())


def closed_room_with(*models: tuple[Model, np.ndarray]) -> Scene:
    """Return a room of 4 x 4 x 3 metres about the origin with a lamp under its ceiling."""
    shell = [box((4.2, 4.2, 0.1), (0, 0, -0.1)), box((4.2, 4.2, 0.1), (0, 0, 3))]
    shell += [box((0.1, 4.2, 3), (side * 2.05, 0, 0)) for side in (-1, 1)]
    shell += [box((4.2, 0.1, 3), (0, side * 2.05, 0)) for side in (-1, 1)]
    building = SceneInstance(0, Model("building", tuple(Part(mesh, GREY) for mesh in shell)), np.eye(4))
    instances = tuple(SceneInstance(index, model, pose) for index, (model, pose) in enumerate(models, start=1))
    outline = ((-2.0, -2.0), (2.0, -2.0), (2.0, 2.0), (-2.0, 2.0))
    return Scene(building, instances, (Light((0.0, 0.0, 2.9)),), outline, 3.0, walk_area_m=(-1.0, -1.0, 1.0, 1.0))


BLOCK = Model("block", (Part(box((0.42, 0.22, 0.5)), GREY),))


def flat_view(
    depth_m: np.ndarray | float,
    *,
    cos_incidence: float = 1.0,
    shape: tuple[int, int] = (120, 160),
    reflectance: float = 0.4,
    gloss: float = 0.0,
) -> View:
    """Return a middle-grey view of one depth, or of depths by column."""
    return View(
        radiance=np.full((*shape, 3), 0.5**2.2, np.float32),
        depth_m=np.broadcast_to(np.float32(depth_m), shape).copy(),
        instance=np.zeros(shape, np.int32),
        cos_incidence=np.full(shape, cos_incidence, np.float32),
        normal=np.broadcast_to(np.float32([0, 0, 1]), (*shape, 3)),
        reflectance=np.full(shape, reflectance, np.float32),
        gloss=np.full(shape, gloss, np.float32),
    )
