"""The nouns of the pipeline: typed records whose shapes are checked once, when they are made.

Frames: `world` is the fixed map frame, `camera` the optical frame (x right, y down, z forward).
Lengths are metres, times integer nanoseconds. Id 0 means "no instance" everywhere; -1 means "no mask".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np

NO_INSTANCE = 0
NO_MASK = -1
_RIGID_TOLERANCE = 1e-3


class FrameError(ValueError):
    """A frame that cannot be used. The message says where, what was expected, what came and how to mend it."""


@dataclass(frozen=True)
class CameraIntrinsics:
    """Pinhole camera of a rectified image; pixel (u, v) is the centre of column u, row v."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0 or not (self.fx > 0 and self.fy > 0):
            raise FrameError(f"camera intrinsics: expected positive width, height, fx and fy, got {self}")

    def matrix(self) -> np.ndarray:
        """Return K, (3, 3) float64."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class RigidPose:
    """`target_from_source` as translation (metres) and unit quaternion (x, y, z, w).

    The quaternion, not the matrix, is what is stored: files, bags and messages then give the same bits.
    """

    translation_m: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        values = np.array([*self.translation_m, *self.quaternion_xyzw], dtype=np.float64)
        if not np.isfinite(values).all():
            raise FrameError(f"pose: expected 7 finite numbers, got {values.tolist()}")
        norm = float(np.linalg.norm(values[3:]))
        if abs(norm - 1.0) > _RIGID_TOLERANCE:
            raise FrameError(f"pose: expected a unit quaternion (x, y, z, w), got norm {norm:.4f}")

    @classmethod
    def from_matrix(cls, matrix: np.ndarray, where: str = "pose") -> RigidPose:
        """Make a pose of a (4, 4) matrix; raise FrameError unless it is a rigid transform."""
        from scipy.spatial.transform import Rotation

        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise FrameError(f"{where}: expected a 4x4 matrix, got shape {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise FrameError(f"{where}: expected finite numbers, got NaN or Inf (tracking lost?)")
        rotation = matrix[:3, :3]
        skew = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        bottom_row_ok = np.allclose(matrix[3], (0.0, 0.0, 0.0, 1.0), atol=_RIGID_TOLERANCE)
        if skew > _RIGID_TOLERANCE or np.linalg.det(rotation) < 0 or not bottom_row_ok:
            raise FrameError(
                f"{where}: expected a rigid transform (rotation part orthonormal and right-handed, last row 0 0 0 1), "
                f"got determinant {np.linalg.det(rotation):.4f}, |R R^T - I| {skew:.2g}, last row {matrix[3].tolist()}"
            )
        quaternion = Rotation.from_matrix(rotation).as_quat()
        return cls(tuple(matrix[:3, 3].tolist()), tuple(quaternion.tolist()))

    @cached_property
    def matrix(self) -> np.ndarray:
        """The (4, 4) float64 homogeneous transform."""
        from scipy.spatial.transform import Rotation

        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_quat(self.quaternion_xyzw).as_matrix()
        matrix[:3, 3] = self.translation_m
        return matrix


@dataclass(frozen=True)
class Frame:
    """One posed RGB-D image: colour and depth registered, rectified and of one size.

    `stamp_ns` is the colour stamp and names the frame; the pose holds at the depth stamp, because the points do.
    """

    stamp_ns: int
    rgb: np.ndarray  # (H, W, 3) uint8, red first
    depth_m: np.ndarray  # (H, W) float32, along the optical axis, 0 = invalid
    camera: CameraIntrinsics
    pose: RigidPose  # world_from_camera
    depth_stamp_ns: int = -1  # -1 = the colour stamp
    name: str = ""  # the file stem or sequence number: masks beside the frames are found by it
    truth: np.ndarray | None = field(default=None, repr=False)  # (H, W) int32 instance ids, 0 = none

    def __post_init__(self) -> None:
        where = f"frame {self.name or self.stamp_ns}"
        shape = (self.camera.height, self.camera.width)
        _expect(f"{where}: colour image", self.rgb, (*shape, 3), np.uint8)
        _expect(f"{where}: depth image", self.depth_m, shape, np.float32)
        if self.truth is not None:
            _expect(f"{where}: instance image", self.truth, shape, np.int32)
        if self.depth_stamp_ns < 0:
            object.__setattr__(self, "depth_stamp_ns", self.stamp_ns)

    @property
    def world_from_camera(self) -> np.ndarray:
        """(4, 4) float64."""
        return self.pose.matrix


@dataclass(frozen=True)
class Masks2D:
    """Exclusive 2D masks painted into one image."""

    ids: np.ndarray  # (H, W) int32 in [0, num_masks), NO_MASK where there is none
    num_masks: int
    makeshift: str = ""  # why they are not those of the chosen source at its full size; empty = they are

    def __post_init__(self) -> None:
        _expect("mask id image", self.ids, self.ids.shape[:2], np.int32)


@dataclass(frozen=True)
class Superpoints:
    """A frame's sampled points, each in one superpoint: a mask lifted to 3D (`method.md` §1.2)."""

    xyz_m: np.ndarray  # (N, 3) float32, world
    rgb: np.ndarray  # (N, 3) uint8
    pixel: np.ndarray  # (N,) int64, row * W + column
    superpoint: np.ndarray  # (N,) int32 in [0, S)
    id_image: np.ndarray  # (H, W) int32 in [0, S), NO_MASK where there is no superpoint
    num_superpoints: int

    @property
    def num_points(self) -> int:
        return len(self.superpoint)


@dataclass(frozen=True)
class BorderEvidence:
    """What the surface of one frame does across the common borders of its fragments (superpoints or masks)."""

    pairs: np.ndarray  # (P, 2) int32 fragments with a common border, the smaller id first, in ascending order
    length_px: np.ndarray  # (P,) float32 length of the border, pixels of the grid that was compared
    step: np.ndarray  # (P,) float32 in [0, 1], 1 = a depth step all along
    concave: np.ndarray  # (P,) float32 in [0, 1], 1 = a sharp inward fold all along
    colour: np.ndarray  # (P,) float32 in [0, 1], 1 = another colour all along, shading set aside
    angle_deg: np.ndarray  # (P,) float32 mean angle between the normals, > 0 convex, < 0 concave
    area_m2: np.ndarray  # (S,) float32 surface of each fragment


NUM_BORDER_CUES = 7


@dataclass(frozen=True)
class BorderCues:
    """`BorderEvidence` as a network takes it: numbers of about 1."""

    pairs: np.ndarray  # (P, 2) int32 superpoints with a common border, the smaller id first
    # (P, 7) float32: 1, that there is a border; its length, by logarithm; its share of the whole border of the one that
    # has less; step, concave and colour; the angle, 1 = 90 degrees
    values: np.ndarray

    @classmethod
    def none(cls) -> BorderCues:
        """Return those of superpoints that do not touch."""
        return cls(np.zeros((0, 2), np.int32), np.zeros((0, NUM_BORDER_CUES), np.float32))

    def renumbered(self, row: np.ndarray) -> BorderCues:
        """Return those of the superpoints that are kept; `row` (S,) int32 ascends, negative = left out."""
        pairs = row[self.pairs]
        kept = (pairs >= 0).all(axis=1)
        return BorderCues(pairs[kept].astype(np.int32), self.values[kept])

    def matrix(self, num_superpoints: int) -> np.ndarray:
        """Return (S, S, 7) float32, symmetric, 0 where there is no border."""
        dense = np.zeros((num_superpoints, num_superpoints, NUM_BORDER_CUES), np.float32)
        one, other = self.pairs.T
        dense[one, other] = dense[other, one] = self.values
        return dense


@dataclass(frozen=True)
class Detections:
    """Objects of one frame as disjoint sets of points, with what association needs to know of them."""

    of_point: np.ndarray  # (N,) int32 in [0, D), -1 = background
    of_superpoint: np.ndarray  # (S,) int32 in [0, D), -1 = background: the object that most points belong to
    score: np.ndarray  # (D,) float32 in [0, 1]
    num_points: np.ndarray  # (D,) int64, sampled points
    box_m: np.ndarray  # (D, 2, 3) float32, world axis-aligned minimum and maximum corner

    def __len__(self) -> int:
        return len(self.score)


class InstanceState(IntEnum):
    """Life of an instance; the values are those of `Instance.msg`."""

    UNKNOWN = 0
    TENTATIVE = 1
    ACTIVE = 2
    LOST = 3
    RETIRED = 4


class EventType(IntEnum):
    """What can happen to an id; the values are those of `InstanceEvent.msg`."""

    CREATED = 1
    CONFIRMED = 2
    LOST = 3
    RETIRED = 4
    REVIVED = 5
    MERGED = 6
    REMOVED = 7


@dataclass(frozen=True)
class InstanceEvent:
    """One change in the life of `instance_id`; for MERGED, `other_id` is the id that lives on."""

    type: EventType
    instance_id: int
    stamp_ns: int
    other_id: int = NO_INSTANCE
    reason: str = ""


@dataclass(frozen=True)
class OrientedBox:
    """Gravity-aligned box in the world: z up, turned by `yaw_rad` about z."""

    center_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float


@dataclass(frozen=True)
class Instance:
    """One persistent object as planners see it."""

    id: int
    state: InstanceState
    score: float  # [0, 1]
    match_confidence: float  # [0, 1], NaN at birth
    first_seen_ns: int
    last_seen_ns: int
    num_observations: int
    num_missed: int  # consecutive processed frames without a match
    centroid_m: tuple[float, float, float]
    box: OrientedBox
    footprint_m: np.ndarray  # (K, 2) float32, convex hull in x and y, counter-clockwise
    num_points: int  # map voxels held
    roi_px: tuple[int, int, int, int] = (0, 0, 0, 0)  # x, y, width, height; zero size when not visible
    labels: tuple[str, ...] = ()
    label_scores: tuple[float, ...] = ()

    @property
    def z_range_m(self) -> tuple[float, float]:
        """Lowest and highest point of the box."""
        half = self.box.size_m[2] / 2
        return self.box.center_m[2] - half, self.box.center_m[2] + half


@dataclass(frozen=True)
class SegmentedFrame:
    """What one `OnlineSegmenter.step` returns."""

    frame: Frame
    frame_index: int  # processed frames since the last reset, from 0
    label_image: np.ndarray  # (H, W) int32 instance ids, NO_INSTANCE = none
    superpoints: Superpoints
    point_ids: np.ndarray  # (N,) int32 instance id of each sampled point
    point_scores: np.ndarray  # (N,) float32
    instances: tuple[Instance, ...]  # those that changed in this frame
    events: tuple[InstanceEvent, ...]
    stage_ms: dict[str, float]


def _expect(what: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise FrameError(
            f"{what}: expected {np.dtype(dtype).name} of shape {shape}, got {array.dtype.name} of shape {array.shape}"
        )
