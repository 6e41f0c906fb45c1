"""Stands in for tf2_msgs in tests: a Path travels over DDS and says what a TFMessage would.

Each of its poses is one transform; the frame of its header reads "parent child".
"""

from __future__ import annotations

from geometry_msgs.msg import Transform, TransformStamped, Vector3
from nav_msgs.msg import Path as TFMessage
from std_msgs.msg import Header


def _transforms(path: TFMessage) -> list[TransformStamped]:
    found = []
    for one in path.poses:
        parent, child = one.header.frame_id.split()
        at = one.pose.position
        transform = Transform(translation=Vector3(x=at.x, y=at.y, z=at.z), rotation=one.pose.orientation)
        head = Header(stamp=one.header.stamp, frame_id=parent)
        found.append(TransformStamped(header=head, child_frame_id=child, transform=transform))
    return found


TFMessage.transforms = property(_transforms)
