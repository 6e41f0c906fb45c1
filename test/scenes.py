"""Tiny posed scenes with exact masks, for tests of the pipeline."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.fragment_merging import FragmentRelations
from autoseg3d_ros.structures import NO_MASK, CameraIntrinsics, Frame, Masks2D, RigidPose, Superpoints

CAMERA = CameraIntrinsics(width=80, height=60, fx=70.0, fy=70.0, cx=39.5, cy=29.5)
NO_PAIRS = np.zeros((0, 2), np.int32)
NO_RELATIONS = FragmentRelations(joined=NO_PAIRS, strength=np.zeros(0, np.float32), apart=NO_PAIRS)


def frame_of(*blocks: tuple[int, int, int, int, float], index: int = 0, shift_m: float = 0.0) -> Frame:
    """Return a frame of upright blocks (x, y, width, height in pixels, depth in metres) before nothing.

    The truth numbers the blocks from 1; the camera stands `shift_m` along the world's x axis.
    """
    depth = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    truth = np.zeros(depth.shape, np.int32)
    for number, (x, y, width, height, depth_m) in enumerate(blocks, start=1):
        depth[y : y + height, x : x + width] = depth_m
        truth[y : y + height, x : x + width] = number
    return Frame(
        stamp_ns=(index + 1) * 100_000_000,
        rgb=np.full((*depth.shape, 3), 128, np.uint8),
        depth_m=depth,
        camera=CAMERA,
        pose=RigidPose((shift_m, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        truth=truth,
        name=f"{index:06d}",
    )


class BlockMasks:
    """One mask a block."""

    name = "blocks"

    def masks(self, frame: Frame) -> Masks2D:
        return Masks2D(frame.truth - 1, int(frame.truth.max()))


class NoMasks:
    """A mask source that never finds anything."""

    name = "none"

    def masks(self, frame: Frame) -> Masks2D:
        return Masks2D(np.full(frame.depth_m.shape, NO_MASK, np.int32), 0)


def nothing_touches(frame: Frame, superpoints: Superpoints) -> FragmentRelations:
    """Judge every fragment to stand alone."""
    return NO_RELATIONS
