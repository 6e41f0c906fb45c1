"""The colour image with the instances painted over, by a thread of its own: a picture must not hold up the frames."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from autoseg3d_ros.reporting.pictures import overlay
from autoseg3d_ros.ros.conversions import image_msg
from autoseg3d_ros.ros.failure_log import FailureLog


@dataclass(frozen=True)
class View:
    """What is painted: an image and the instances in it."""

    head: Header
    rgb: np.ndarray  # (H, W, 3) uint8
    label_image: np.ndarray  # (H, W) int32, 0 = none


class OverlayPainter:
    """Paints and publishes; a view that comes while one is being painted takes the place of the one that waits."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._lock = threading.Lock()
        self._waiting: View | None = None
        self._is_painting = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="overlay")  # starts when first needed
        self._failures = FailureLog()

    def show(self, view: View) -> None:
        """Have a view painted and published, unless a newer one comes first."""
        with self._lock:
            self._waiting = view
            if not self._is_painting:
                self._is_painting = True
                self._thread.submit(self._paint)

    def close(self) -> None:
        """Finish the picture in hand and drop the one that waits."""
        with self._lock:
            self._waiting = None
        self._thread.shutdown()

    def _paint(self) -> None:
        while (view := self._take()) is not None:
            try:
                self._publisher.publish(overlay_msg(view))
            except Exception as error:  # the thread goes on, as the frames do
                self._failures.report("overlay", error)

    def _take(self) -> View | None:
        with self._lock:
            view, self._waiting = self._waiting, None
            self._is_painting = view is not None
            return view


def overlay_msg(view: View) -> Image:
    """Return the picture at the size of the image, bgr8."""
    painted = overlay(view.rgb, view.label_image, width_px=view.rgb.shape[1])
    return image_msg(view.head, painted[..., ::-1], "bgr8")
