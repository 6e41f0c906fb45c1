"""A recording for the rerun viewer: the camera and what it sees, the points coloured by id, the boxes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.reporting.pictures import overlay
from autoseg3d_ros.structures import EventType, Instance, SegmentedFrame

_JPEG_QUALITY = 80
_ENDS = (EventType.RETIRED, EventType.MERGED, EventType.REMOVED)
_POINT_RADIUS_M = 0.006


class RerunMissingError(RuntimeError):
    """rerun is not installed."""


class RerunRecording:
    """Writes an .rrd file frame by frame; open it with `rerun FILE`."""

    def __init__(self, path: Path | str) -> None:
        """Create the file. Raises RerunMissingError where the package `rerun-sdk` is not installed."""
        if importlib.util.find_spec("rerun") is None:
            raise RerunMissingError(
                "--rerun: the package rerun-sdk is not installed; `pip install rerun-sdk` (0.7 GB) or leave --rerun out"
            )
        import rerun

        self._rerun = rerun
        self._alive: dict[int, Instance] = {}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._recording = rerun.RecordingStream("autoseg3d_ros")
        self._recording.save(str(path))
        self._recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def add(self, segmented: SegmentedFrame) -> None:
        """Record one frame, and the boxes of all instances that live in it."""
        rerun, frame = self._rerun, segmented.frame
        self._recording.set_time("stamp", timestamp=np.datetime64(frame.stamp_ns, "ns"))
        self._recording.set_time("frame", sequence=segmented.frame_index)
        x, y, z, w = frame.pose.quaternion_xyzw
        pose = rerun.Transform3D(translation=frame.pose.translation_m, quaternion=rerun.Quaternion(xyzw=[x, y, z, w]))
        camera = frame.camera
        pinhole = rerun.Pinhole(
            image_from_camera=camera.matrix(),
            resolution=[camera.width, camera.height],
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
        self._recording.log("world/camera", pose, pinhole)
        self._recording.log("world/camera/image", self._image(frame.rgb, segmented.label_image))
        self._recording.log(
            "world/points",
            rerun.Points3D(segmented.superpoints.xyz_m, colors=id_colours(segmented.point_ids), radii=_POINT_RADIUS_M),
        )
        self._recording.log("world/boxes", self._boxes(segmented))

    def close(self) -> None:
        """Write what is left to the file."""
        self._recording.flush()
        self._recording.disconnect()

    def _image(self, rgb: np.ndarray, label_image: np.ndarray) -> Any:
        painted = overlay(rgb, label_image, width_px=rgb.shape[1])
        _done, data = cv2.imencode(".jpg", painted[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
        return self._rerun.EncodedImage(contents=data.tobytes(), media_type="image/jpeg")

    def _boxes(self, segmented: SegmentedFrame) -> Any:
        self._alive |= {one.id: one for one in segmented.instances}
        for event in segmented.events:
            if event.type in _ENDS:
                self._alive.pop(event.instance_id, None)
        instances = list(self._alive.values())
        boxes = [one.box for one in instances]
        return self._rerun.Boxes3D(
            centers=np.array([box.center_m for box in boxes]).reshape(-1, 3),
            sizes=np.array([box.size_m for box in boxes]).reshape(-1, 3),
            quaternions=[
                self._rerun.Quaternion(xyzw=[0.0, 0.0, np.sin(box.yaw_rad / 2), np.cos(box.yaw_rad / 2)])
                for box in boxes
            ],
            colors=id_colours(np.array([one.id for one in instances], np.int64)),
            labels=[f"{one.id} {one.state.name.lower()}" for one in instances],
        )
