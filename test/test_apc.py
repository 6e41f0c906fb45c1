"""The two recordings of the Amazon Picking Challenge tools: depth codes, poses and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import SHARED_DATA
from scipy.spatial import cKDTree

from autoseg3d_ros.data.apc import ApcBin, ApcShelf
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.source import FrameSource, SourceError
from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.structures import Frame, FrameError

SHELF_INFO = """# Environment: shelf
# Color camera intrinsic matrix
600 0 319.5
0 610 239.5
0 0 1

# Camera-to-world extrinsic matrix (camera pose) for frame-000000
1 0 0 0.5
0 1 0 0
0 0 1 0
0 0 0 1
"""


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    for stem, depth in (("frame-000015", 400), ("frame-000017", 500)):
        write_png(tmp_path / f"{stem}.color.png", np.full((480, 640, 3), (200, 100, 50), np.uint8))
        write_png(tmp_path / f"{stem}.depth.png", np.full((480, 640), depth, np.uint16))
        (tmp_path / f"{stem}.pose.txt").write_text("1 0 0 0  0 1 0 0  0 0 1 0.25  0 0 0 1")
    (tmp_path / "intrinsics.K.txt").write_text("600 0 319.5\n0 610 239.5\n0 0 1\n")
    return tmp_path


@pytest.fixture
def shelf_folder(tmp_path: Path) -> Path:
    value = 5432  # 0.5432 m
    code = ((value << 3) | (value >> 13)) & 0xFFFF  # rotated left by 3: what rotating right by 3 gives back
    (tmp_path / "segm").mkdir()
    for stem in ("frame-000000", "frame-000001"):
        write_png(tmp_path / f"{stem}.color.png", np.zeros((480, 640, 3), np.uint8))
        write_png(tmp_path / f"{stem}.depth.png", np.full((480, 640), code, np.uint16))
    write_png(tmp_path / "segm" / "frame-000000.segm.png", np.full((480, 640), 132, np.uint8))
    (tmp_path / "cam.info.txt").write_text(SHELF_INFO)
    return tmp_path


def test_bin_frames(bin_folder: Path) -> None:
    source = ApcBin(bin_folder)
    first, second = source.frames()
    assert len(source) == 2
    assert (source.camera.fx, source.camera.fy, source.camera.cx, source.camera.cy) == (600, 610, 319.5, 239.5)
    assert [(frame.name, frame.stamp_ns) for frame in (first, second)] == [("frame-000015", 0), ("frame-000017", 10**8)]
    assert (first.depth_m == np.float32(0.4)).all() and first.truth is None
    assert first.rgb[0, 0].tolist() == [200, 100, 50]
    assert first.pose.translation_m == (0, 0, 0.25)


def test_shelf_frames(shelf_folder: Path) -> None:
    first, second = ApcShelf(shelf_folder).frames()
    assert isinstance(first, Frame)
    assert (first.depth_m == np.float32(0.5432)).all()
    assert (first.truth == 132).all()
    assert first.pose.translation_m == (0.5, 0, 0)
    assert isinstance(second, FrameError)
    assert "camera pose) for frame-000001: not in the file" in str(second)


def test_pose_that_is_not_rigid_skips_one_frame(bin_folder: Path) -> None:
    (bin_folder / "frame-000015.pose.txt").write_text("1 1 0 0  0 1 0 0  0 0 1 0  0 0 0 1")
    first, second = ApcBin(bin_folder).frames()
    assert "frame-000015.pose.txt: expected a rigid transform" in str(first)
    assert isinstance(second, Frame)


@pytest.mark.parametrize(("source", "file"), [(ApcBin, "intrinsics.K.txt"), (ApcShelf, "cam.info.txt")])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("", "expected 3x3 numbers, got 0"),
        ("# Color camera intrinsic matrix\n0 0 0 0 0 0 0 0 0", "expected (3x3 numbers|positive)"),
    ],
)
def test_absent_intrinsics(tmp_path: Path, source: type, file: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / file).write_text(text)
    with pytest.raises(SourceError, match=f"{file}.*{message}"):
        source(tmp_path)


def test_no_frames(bin_folder: Path) -> None:
    for file in bin_folder.glob("frame-*"):
        file.unlink()
    with pytest.raises(SourceError, match=r"no frames; expected frame-000000\.color\.png"):
        ApcBin(bin_folder)


@pytest.mark.parametrize(
    ("source", "folder", "num_frames", "ids"),
    [
        (ApcBin, "apc_bin_f200", 50, None),
        (ApcShelf, "apc_shelf_scene0000", 15, [0, 48, 114, 132, 144]),
    ],
)
def test_real_views_agree(source: type, folder: str, num_frames: int, ids: list[int] | None) -> None:
    """Neighbouring views show the same surfaces: this fails for a wrong depth code, pose convention or intrinsics."""
    if not (SHARED_DATA / folder).exists():
        pytest.skip(f"shared/data/{folder} is not here")
    opened: FrameSource = source(SHARED_DATA / folder)
    frames = [frame for frame in opened.frames() if isinstance(frame, Frame)]
    assert len(frames) == len(opened) == num_frames
    assert median_distance_m(frames[2], frames[3]) < 0.006
    if ids:
        assert np.unique(frames[0].truth).tolist() == ids


def median_distance_m(one: Frame, other: Frame) -> float:
    """Return the median distance from the points of `one` that `other` sees to the nearest point of `other`."""
    clouds_m = []
    for frame in (one, other):
        points_m = backproject(np.arange(frame.depth_m.size), frame.depth_m.ravel(), frame.camera)
        points_m = points_m[(points_m[:, 2] > 0.2) & (points_m[:, 2] < 0.8)]
        clouds_m.append(transform_points(frame.world_from_camera, points_m))
    rays = transform_points(np.linalg.inv(other.world_from_camera), clouds_m[0]) @ other.camera.matrix().T
    pixels, depth_m = rays[:, :2] / rays[:, 2:], rays[:, 2]
    seen = (depth_m > 0) & (pixels >= 0).all(axis=1) & (pixels < (640, 480)).all(axis=1)
    assert seen.mean() > 0.3
    return float(np.median(cKDTree(clouds_m[1]).query(clouds_m[0][seen][::20])[0]))
