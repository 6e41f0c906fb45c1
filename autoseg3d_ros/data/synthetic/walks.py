"""True camera paths through a scene: held by a walking person or carried by a robot on wheels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from autoseg3d_ros.data.synthetic.bearer import Bearer, Motion
from autoseg3d_ros.data.synthetic.camera_path import STEP_HZ, Tremor, pose_at
from autoseg3d_ros.data.synthetic.free_space import free_space
from autoseg3d_ros.data.synthetic.gaze import Gaze
from autoseg3d_ros.data.synthetic.route import draw_route
from autoseg3d_ros.data.synthetic.scene import Scene
from autoseg3d_ros.structures import RigidPose

Carrier = Literal["hand", "wheels"]

_SUBSTEPS = 4  # of the simulation between two frames


@dataclass(frozen=True)
class _Build:
    """What a carrier is like."""

    motion: Motion
    radius_m: float  # kept free about the camera
    heights_m: tuple[float, float]  # between which nothing may be in the way
    eye_m: tuple[float, float]  # height of the camera, drawn once a walk
    pitch_deg: tuple[float, float]  # of the camera: the limits of a hand; for wheels, of a low and a high camera
    roll_deg: float  # how askew the camera is, one sigma
    tremor_deg: float
    tremor_m: float
    bob_m: float  # with each step


_BUILDS = {
    "hand": _Build(
        Motion(looks_ahead=False, speed_m_s=0.6, cruise_m_s=0.38, turn_deg_s=(40.0, 60.0), hold_s=(0.3, 1.6)),
        radius_m=0.34,
        heights_m=(0.06, 1.95),
        eye_m=(1.3, 1.6),
        pitch_deg=(-38.0, 2.0),
        roll_deg=1.5,
        tremor_deg=0.3,
        tremor_m=0.004,
        bob_m=0.012,
    ),
    "wheels": _Build(
        Motion(looks_ahead=True, speed_m_s=0.5, cruise_m_s=0.22, turn_deg_s=(35.0, 50.0), hold_s=(0.2, 1.0)),
        radius_m=0.32,
        heights_m=(0.06, 1.4),
        eye_m=(0.4, 1.1),
        pitch_deg=(5.0, -12.0),
        roll_deg=0.3,
        tremor_deg=0.03,
        tremor_m=0.0004,
        bob_m=0.0,
    ),
}


def walk(
    scene: Scene, rng: np.random.Generator, num_frames: int, frame_rate_hz: float, carrier: Carrier
) -> list[RigidPose]:
    """Return the true world_from_camera of each frame of a walk over the free floor, back to where it began.

    The camera looks at one thing after the other, turns away and comes back to some of them after 10 to 150 frames.
    In a hand it shakes and bobs; on wheels it keeps one height and tilt, looks ahead while it drives, and turns on
    the spot. Raises ValueError where the scene has no free floor.
    """
    build = _BUILDS[carrier]
    space = free_space(scene, build.radius_m, build.heights_m)
    route = draw_route(space, build.radius_m, build.motion.way_m(num_frames / frame_rate_hz), rng)
    gaze = Gaze(scene, space, frame_rate_hz, rng)
    eye_m = rng.uniform(*build.eye_m)
    bearer = Bearer(build.motion, route, gaze, num_frames / frame_rate_hz, eye_m, rng)
    tremor, roll_deg = Tremor(rng), rng.normal(0, build.roll_deg)
    fixed_pitch_deg = np.interp(eye_m, build.eye_m, build.pitch_deg) + rng.normal(0, 2.0)
    poses = []
    for number in range(num_frames):
        shake = tremor.at(number / frame_rate_hz)
        pitch_deg = fixed_pitch_deg if build.motion.looks_ahead else np.clip(bearer.pitch_deg, *build.pitch_deg)
        place = np.append(bearer.place_m, eye_m) + build.tremor_m * shake[3:]
        place[2] += build.bob_m * bearer.stride * np.sin(2 * np.pi * STEP_HZ * number / frame_rate_hz)
        yaw_deg = np.degrees(bearer.heading_rad) - 90.0  # left of +y
        poses.append(pose_at(place, [yaw_deg, pitch_deg, roll_deg] + build.tremor_deg * shake[:3]))
        for _ in range(_SUBSTEPS):
            bearer.go_on(1 / (_SUBSTEPS * frame_rate_hz))
    return poses
