"""Stands in for tf2_ros in tests: a buffer that knows where a chain of frames stood at its newest common time."""

from __future__ import annotations

from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header


class TransformException(Exception):  # noqa: N818
    """As tf2 names it."""


class Buffer:
    def __init__(self, cache_time=None, node=None):
        assert cache_time is not None and node is None
        self._moving, self._static = {}, {}  # by child; moving ones by stamp, too

    def set_transform(self, transform, authority):
        history = self._moving.setdefault(transform.child_frame_id, {})
        history[(transform.header.stamp.sec, transform.header.stamp.nanosec)] = transform

    def set_transform_static(self, transform, authority):
        self._static[transform.child_frame_id] = transform

    def clear(self):
        self._moving.clear()

    def lookup_transform(self, target_frame, source_frame, time):
        assert time.nanoseconds == 0, "only the newest"
        children, frame = [], source_frame
        while frame != target_frame:
            if frame not in self._moving and frame not in self._static:
                raise TransformException(f'"{frame}" is not connected')
            children.append(frame)
            frame = self._newest(frame).header.frame_id
        stamp = min((max(self._moving[child]) for child in children if child in self._moving), default=(0, 0))
        rotation, position = Rotation.identity(), [0.0, 0.0, 0.0]
        for child in children:
            link = (self._static.get(child) or self._moving[child].get(stamp) or self._newest(child)).transform
            turn = Rotation.from_quat([link.rotation.x, link.rotation.y, link.rotation.z, link.rotation.w])
            position = turn.apply(position) + [link.translation.x, link.translation.y, link.translation.z]
            rotation = turn * rotation
        x, y, z, w = rotation.as_quat().tolist()
        return TransformStamped(
            header=Header(stamp=TimeMsg(sec=stamp[0], nanosec=stamp[1]), frame_id=target_frame),
            child_frame_id=source_frame,
            transform=Transform(
                translation=Vector3(**dict(zip("xyz", map(float, position), strict=True))),
                rotation=Quaternion(x=x, y=y, z=z, w=w),
            ),
        )

    def _newest(self, child):
        return self._static.get(child) or self._moving[child][max(self._moving[child])]
