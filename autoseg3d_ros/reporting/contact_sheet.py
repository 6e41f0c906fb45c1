"""Scenes with truth at a glance: a row of pictures for each."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.data.scene_folder import SceneFolder, TruthMesh
from autoseg3d_ros.reporting.pictures import INK, PAPER, Tile, contact_sheet, overlay, spread
from autoseg3d_ros.structures import Frame, FrameError

_TILE_PX = (320, 240)
_NUM_FRAMES = 4  # of each scene as colour pictures; the one that shows most also as instances and as depth
_MAX_SCENES = 40
_MARGIN_PX, _SPLAT_PX = 8, 3
_FARTHEST_M = 6.0
_FLOOR_M, _CEILING_M = 0.1, 2.2  # void above the one is drawn dark, above the other not at all
_FLOOR_RGB = (225, 222, 216)
_PATH_RGB, _BELIEVED_RGB, _START_RGB = (20, 20, 20), (230, 60, 60), (20, 160, 20)


def scene_sheet(scenes: Sequence[SceneFolder]) -> np.ndarray:
    """Draw frames, instances, depth and the plan of each scene; returns (H, W, 3) uint8.

    Of many scenes some are left out. The plan shows the labelled mesh with the true path of the camera (dark) and the
    one that the robot believes (red). Raises SourceError or FrameError where a scene is damaged.
    """
    chosen = [scenes[index] for index in spread(len(scenes), _MAX_SCENES)]
    tiles = [tile for scene in chosen for tile in _row(scene)]
    return contact_sheet(tiles, columns=_NUM_FRAMES + 3)


def _row(scene: SceneFolder) -> list[Tile]:
    indices = spread(len(scene.source()), _NUM_FRAMES + 1)[:_NUM_FRAMES]
    frames, believed_m = [], []
    for index, frame in enumerate(scene.source().frames()):
        if isinstance(frame, FrameError):
            raise frame
        believed_m.append(frame.pose.translation_m)
        frames += [frame] * (index in indices)
    true_m = [scene.true_pose(f"{index:06d}").translation_m for index in range(len(believed_m))]
    shown = max(frames, key=lambda frame: len(np.unique(_truth(frame))))
    tiles = [Tile(_fitted(frame.rgb), f"{scene.name} frame {frame.name}") for frame in frames]
    tiles.append(Tile(_fitted(overlay(shown.rgb, _truth(shown))), f"instances in {shown.name}"))
    tiles.append(Tile(_fitted(_depth_picture(shown)), f"depth in {shown.name}, to {_FARTHEST_M:g} m"))
    changes = "".join(f", {one.instance_id} {one.kind} at {one.frame}" for one in scene.info.changes)
    caption = f"{len(scene.info.instances)} instances{changes}"
    tiles.append(Tile(_plan(scene.mesh, np.array(true_m), np.array(believed_m)), caption))
    return tiles


def _truth(frame: Frame) -> np.ndarray:
    return np.zeros_like(frame.depth_m, np.int32) if frame.truth is None else frame.truth


def _fitted(rgb: np.ndarray) -> np.ndarray:
    """Return a picture of any size as a tile, on paper where the shapes differ."""
    scale = min(_TILE_PX[0] / rgb.shape[1], _TILE_PX[1] / rgb.shape[0])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    tile = np.full((_TILE_PX[1], _TILE_PX[0], 3), PAPER, np.uint8)
    left, top = (_TILE_PX[0] - size[0]) // 2, (_TILE_PX[1] - size[1]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return tile


def _depth_picture(frame: Frame) -> np.ndarray:
    """Return near as warm, far as cold and unmeasured as black."""
    near = np.clip(1 - frame.depth_m / _FARTHEST_M, 0, 1)
    coloured = cv2.applyColorMap(np.rint(near * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(frame.depth_m[..., None] > 0, cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8(0))


def _splat(rank: np.ndarray, empty: int) -> np.ndarray:
    """Let the highest point of (H, W) ranks cover its neighbours, so that surfaces have no holes."""
    widened = ndimage.maximum_filter(np.where(rank == empty, -1, rank), size=_SPLAT_PX)
    return np.where(widened < 0, empty, widened)


def _plan(mesh: TruthMesh, true_m: np.ndarray, believed_m: np.ndarray) -> np.ndarray:
    """Draw a mesh from above, higher points over lower ones, without the ceiling, and two paths (N, 3)."""
    drawn = (mesh.instance_id > 0) | (mesh.vertices_m[:, 2] < _CEILING_M)
    vertices_m, ids = mesh.vertices_m[drawn], mesh.instance_id[drawn]
    seen_m = np.concatenate([vertices_m[:, :2], true_m[:, :2]])
    low, high = seen_m.min(axis=0), seen_m.max(axis=0)
    px_a_m = (np.array(_TILE_PX) - 2 * _MARGIN_PX) / np.maximum(high - low, 1e-3)

    def pixel(xyz_m: np.ndarray) -> np.ndarray:
        from_middle = (xyz_m[:, :2] - (low + high) / 2) * px_a_m.min()
        return np.array(_TILE_PX) / 2 + from_middle * (1, -1)

    colours = id_colours(ids)
    colours[(ids == 0) & (vertices_m[:, 2] < _FLOOR_M)] = _FLOOR_RGB
    order = np.argsort(vertices_m[:, 2], kind="stable")
    column, row = np.clip(np.rint(pixel(vertices_m)).astype(int)[order], 0, np.array(_TILE_PX) - 1).T
    rank = np.full((_TILE_PX[1], _TILE_PX[0]), len(order))
    rank[row, column] = np.arange(len(order))  # of several values for one place the last one stays
    picture = np.concatenate([colours[order], [PAPER]]).astype(np.uint8)[_splat(rank, len(order))]
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    draw.line([*map(tuple, pixel(believed_m).tolist())], fill=_BELIEVED_RGB)
    draw.line([*map(tuple, pixel(true_m).tolist())], fill=_PATH_RGB)
    x, y = pixel(true_m[:1])[0].tolist()
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_START_RGB, outline=INK)
    return np.asarray(canvas)
