"""Depth on the pixels of the rectified colour image where both are seen from one point, else what differs."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.stream.drops import DropReason, RefusedPairError
from autoseg3d_ros.stream.rectification import Calibration, NearestPixels, Rectifier


class Registration:
    """Maps depth images onto a colour camera: `depth.register` auto, or never.

    With `auto`, the header frames of both images must be the same. Depth with a camera of its own is looked up through
    its lens; without one it is taken to show the view of the colour image, at its size or an integer factor of it.
    With `never`, depth is taken to be registered, whatever its frame; the sizes must be the same.
    """

    def __init__(self, rectifier: Rectifier, depth: Calibration | None = None, *, register: bool = True) -> None:
        """`rectifier` is that of the colour camera; `depth` the camera of the depth images, None where not known."""
        self._rectifier, self._register = rectifier, register
        self._lens: Calibration | None = None
        same = depth is not None and depth[:2] == (rectifier.camera, rectifier.distortion)
        if register and depth is not None and not same:
            self._lens = depth
            self._nearest = NearestPixels(depth, rectifier.camera)

    def register(self, depth_m: np.ndarray, depth_frame: str, colour_frame: str, where: str) -> np.ndarray:
        """Return (H, W) float32 metres of the colour camera, nearest so that no depth is invented; 0 = invalid.

        `depth_frame` and `colour_frame` are the frames of the headers, empty where unknown. Raises RefusedPairError,
        naming `where`, and what differs.
        """
        depth_frame, colour_frame = depth_frame.lstrip("/"), colour_frame.lstrip("/")
        if self._register and depth_frame and colour_frame and depth_frame != colour_frame:
            raise RefusedPairError(
                DropReason.UNREGISTERED,
                f"{where}: expected depth in the frame of the colour image, {colour_frame!r}, got {depth_frame!r}: it "
                "is not registered; subscribe to the depth that is aligned to colour, or set depth.register to never "
                "if the two frames coincide",
            )
        if self._lens is None:
            return self._rectifier.rectify_depth(self._at_colour_size(depth_m, where))
        own = self._lens.camera
        if depth_m.shape != (own.height, own.width):
            raise RefusedPairError(
                DropReason.CAMERA_SIZE,
                f"{where}: expected depth images of the {own.width}x{own.height} pixels of their camera_info, "
                f"got {size_of(depth_m)}; remap depth/camera_info to the one that belongs to this depth topic",
            )
        return self._nearest.of(depth_m)

    def _at_colour_size(self, depth_m: np.ndarray, where: str) -> np.ndarray:
        camera = self._rectifier.camera
        height, width = depth_m.shape
        if (height, width) == (camera.height, camera.width):
            return depth_m
        enlarge, shrink = max(camera.width // width, 1), max(width // camera.width, 1)
        if self._register and (width * enlarge, height * enlarge) == (camera.width * shrink, camera.height * shrink):
            middle = depth_m[shrink // 2 :: shrink, shrink // 2 :: shrink]
            return middle.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
        raise RefusedPairError(
            DropReason.SIZE_MISMATCH,
            f"{where}: expected a depth image of the colour image's {camera.width}x{camera.height} pixels, "
            f"got {size_of(depth_m)}; subscribe to the depth that is aligned (registered) to colour"
            + (", or publish depth/camera_info" if self._register else ""),
        )


def size_of(image: np.ndarray) -> str:
    """Return the size of an image as people write it: width x height."""
    return f"{image.shape[1]}x{image.shape[0]}"
