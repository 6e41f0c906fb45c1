"""The demo's room: its textures, what is in it, and its recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.synthetic import furnished_room, generate_room, room_camera, room_frames
from autoseg3d_ros.data.synthetic.patterns import cell_noise
from autoseg3d_ros.data.synthetic.room import FurnitureKind
from autoseg3d_ros.data.synthetic.scene import SceneInstance
from autoseg3d_ros.structures import Frame

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

SEEDS = (7, 8, 9)
IN_BOTH = {"cabinet", "monitor", "bottle", "box", "storage box", "plant", "ball", "pillow", "floor lamp", "bin"}
FAMILIES: dict[FurnitureKind, set[str]] = {
    "closed": IN_BOTH | {"counter", "chest", "ottoman", "mug", "book"},
    "open": IN_BOTH | {"desk", "chair", "shelf", "sofa", "mug", "book"},
}


def test_cells_are_random_and_repeatable() -> None:
    cells = np.stack(np.meshgrid(*[np.arange(-20, 20)] * 3)).reshape(3, -1).astype(np.float64)
    noise = cell_noise(cells)
    assert (cell_noise(cells) == noise).all()
    assert noise.mean() == pytest.approx(0.5, abs=0.01) and noise.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.02


# ----------------------------------------------------------------------------------------------------- room


def corners_m(item: SceneInstance) -> np.ndarray:
    """Return the (K, 3) mesh corners in the world."""
    meshes = [part.mesh.moved(item.world_from_object) for part in item.model.parts]
    return np.concatenate([mesh.corners_m.reshape(-1, 3) for mesh in meshes])


def test_rooms_differ_with_the_seed_and_only_with_it() -> None:
    def things(seed: int) -> list[tuple]:
        room = furnished_room(seed)
        return [(item.family, *item.world_from_object.ravel(), *item.model.size_m) for item in room.instances]

    assert things(7) == things(7)
    assert len({tuple(things(seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("seed", range(10))
def test_room_has_its_families_and_twins_side_by_side(seed: int, kind: FurnitureKind) -> None:
    room = furnished_room(seed, kind)
    assert [item.id for item in room.instances] == list(range(1, len(room.instances) + 1))
    assert len(room.instances) >= 20
    assert {item.family for item in room.instances} == FAMILIES[kind]
    boxes = [item for item in room.instances if item.family == "storage box"]
    first, second = next((a, b) for a in boxes for b in boxes if a.id < b.id and a.model is b.model)
    distance_m = float(np.linalg.norm(first.world_from_object[:3, 3] - second.world_from_object[:3, 3]))
    assert 0.0 <= distance_m - first.model.size_m[0] < 0.15


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("seed", range(20))
def test_everything_is_inside_and_stands_on_something(seed: int, kind: FurnitureKind) -> None:
    room = furnished_room(seed, kind)
    shell_low, shell_high = room.building.model.bounds_m
    supports = {0.0}
    for item in room.instances:
        low, high = corners_m(item).min(axis=0), corners_m(item).max(axis=0)
        assert (low[:2] > shell_low[:2] + 0.1).all() and (high < shell_high - 0.1).all(), item.family
        assert min(abs(low[2] - support) for support in supports) < 1e-6, item.family
        supports |= {item.world_from_object[2, 3] + level for level in item.model.levels_m}


@pytest.mark.parametrize("seed", range(20))
def test_closed_bodies_do_not_overlap(seed: int) -> None:
    items = furnished_room(seed, "closed").instances
    low = np.array([corners_m(item).min(axis=0) for item in items])
    high = np.array([corners_m(item).max(axis=0) for item in items])
    overlap_m = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).min(axis=2)
    np.fill_diagonal(overlap_m, 0.0)
    assert overlap_m.max() < 0.005  # of boxes along the axes, a little larger than the slightly turned bodies


# ----------------------------------------------------------------------------------------------------------- the whole


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed, num_frames in (("a", 3, 3), ("b", 3, 3), ("short", 3, 2), ("other", 4, 3)):
        generate_room(tmp_path / name, num_frames=num_frames, seed=seed, width=96, height=72)
    first = contents(tmp_path / "a")
    assert len(first) == 3 * 4 + 1
    assert contents(tmp_path / "b") == first
    assert contents(tmp_path / "short").items() <= first.items()
    generate_room(tmp_path / "open", num_frames=3, seed=3, width=96, height=72, furniture_kind="open")
    for other in (contents(tmp_path / "other"), contents(tmp_path / "open")):
        assert all(other[f"rgb/{number:06d}.png"] != first[f"rgb/{number:06d}.png"] for number in range(3))


def test_folder_reads_back_as_it_was_made(tmp_path: Path) -> None:
    counts = []
    generate_room(
        tmp_path / "room", num_frames=3, seed=5, width=64, height=48, progress=lambda *count: counts.append(count)
    )
    camera = room_camera(64, 48)
    source = RgbdFolder(tmp_path / "room")
    assert counts == [(1, 3), (2, 3), (3, 3)]
    assert (len(source), source.camera, source.frame_rate_hz) == (3, camera, 10.0)
    for read, made in zip(source.frames(), room_frames(furnished_room(5), 5, 3, camera, 10.0), strict=True):
        assert isinstance(read, Frame) and read.truth is not None
        assert (read.stamp_ns, read.name) == (made.stamp_ns, made.name)
        assert (
            (read.rgb == made.rgb).all() and (read.truth == made.truth).all() and (read.depth_m == made.depth_m).all()
        )
        assert read.world_from_camera == pytest.approx(made.world_from_camera, abs=1e-12)


def test_no_frames_is_a_folder_with_a_camera(tmp_path: Path) -> None:
    generate_room(tmp_path / "none", num_frames=0, width=64, height=48)
    assert [file.name for file in (tmp_path / "none").rglob("*") if file.is_file()] == ["camera.yaml"]


def test_frames_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    generate_room(tmp_path / "room", num_frames=1, width=64, height=48)
    with pytest.raises(SourceError, match="holds frames already"):
        generate_room(tmp_path / "room", num_frames=1, width=64, height=48)
