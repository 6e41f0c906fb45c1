"""A procedural world with exact truth: rooms drawn from a seed, ray-cast and seen through a sensor model."""

from autoseg3d_ros.data.synthetic.generate import generate_room, room_camera, room_frames
from autoseg3d_ros.data.synthetic.render import Renderer, render
from autoseg3d_ros.data.synthetic.room import furnished_room

__all__ = ["Renderer", "furnished_room", "generate_room", "render", "room_camera", "room_frames"]
