"""The geometric cue of the learned associations: boxes, overlap in the map, and poses that drifted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros import geometric_cue
from autoseg3d_ros.config import LimitsConfig, MapConfig
from autoseg3d_ros.fragment_merging import MapEvidence
from autoseg3d_ros.geometric_cue import GeometricCue, Places, displaced_overlap
from autoseg3d_ros.mapping.instance_map import InstanceMap
from autoseg3d_ros.recognition import overlap_affinity
from autoseg3d_ros.tracking.tracks import TrackTable

VOXEL_M = 0.02
KINDS = ("box", "overlap", "both")
SECOND_NS = 1_000_000_000
CPU = torch.device("cpu")
NOTHING = np.zeros((0, 3))


class Scene:
    """A map of tracks with the ids 1, 2, ..., each last seen at a time, and a frame at 100 s whose points are objects.

    `tracks` are (points (P, 3) metres, seconds unseen); `objects` are points (P, 3) metres.
    """

    def __init__(self, tracks, objects, unmasked=NOTHING):
        instance_map = InstanceMap(MapConfig(VOXEL_M), LimitsConfig(), num_slots=6)
        table = TrackTable(5)
        for slot, (xyz_m, unseen_s) in enumerate(tracks, start=1):
            slots = np.full(len(xyz_m), slot, np.int32)
            instance_map.integrate(xyz_m.astype(np.float32), np.zeros((len(xyz_m), 3), np.uint8), slots, 0)
            table.add(slot, int((100 - unseen_s) * SECOND_NS), 1.0)
        xyz_m = np.concatenate([*objects, unmasked]).astype(np.float32)
        of_point = np.repeat(np.append(np.arange(len(objects)), -1), [*map(len, objects), len(unmasked)])
        superpoints = SimpleNamespace(xyz_m=xyz_m)
        shapes = SimpleNamespace(box_m=np.zeros((6, 2, 3)))
        self.state = SimpleNamespace(map=instance_map, tracks=table, shapes=shapes)
        self.percept = SimpleNamespace(superpoints=superpoints, frame=SimpleNamespace(stamp_ns=100 * SECOND_NS))
        self.recognized = SimpleNamespace(
            detections=Objects(of_point, np.array([len(one) for one in objects], int)),
            evidence=MapEvidence(*instance_map.slots_at(xyz_m), instance_map.num_voxels),
        )

    def places(self, kind: str, pose_error_m: float = 0.0) -> Places:
        return GeometricCue(kind, pose_error_m).places(self.recognized, self.percept, self.state)

    def displaced(self, *error_m: float) -> np.ndarray:
        return displaced_overlap(self.recognized, self.percept, self.state, np.array(error_m, np.float32))


class Objects:
    def __init__(self, of_point, num_points):
        self.of_point, self.num_points, self.box_m = of_point, num_points, np.zeros((len(num_points), 2, 3))

    def __len__(self):
        return len(self.num_points)


def sheet(centre_m=(0.0, 0.0, 0.0), normal=(0, 0, 1), side_m=0.4, step_m=0.008):
    """Return the points (P, 3) of a square."""
    normal = np.array(normal, float) / np.linalg.norm(normal)
    across = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    across /= np.linalg.norm(across)
    along = np.arange(-side_m / 2, side_m / 2, step_m)
    u, v = (one.reshape(-1, 1) for one in np.meshgrid(along, along))
    return np.array(centre_m) + 0.5 * VOXEL_M + u * across + v * np.cross(normal, across)


@pytest.mark.parametrize("pose_error_m", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_tracks", "num_objects"), [(0, 0), (0, 2), (2, 0)])
def test_nothing(num_tracks, num_objects, kind, pose_error_m):
    scene = Scene([(sheet(), 20.0)] * num_tracks, [sheet()] * num_objects)
    there = scene.places(kind, pose_error_m).of(np.arange(num_tracks), CPU)
    assert there.cue(torch.zeros(num_objects, num_tracks)).shape == (num_objects, num_tracks)


def test_kinds_by_hand():
    iou, overlap = torch.tensor([[0.0, 0.5, 0.9]]), np.array([[0.4, 0.0, 0.2]], np.float32)
    of = {kind: Places(None, overlap if kind != "box" else None, kind == "both") for kind in KINDS}
    cue = {kind: places.of(np.arange(3), CPU).cue(iou) for kind, places in of.items()}
    assert cue["box"] is iou
    torch.testing.assert_close(cue["overlap"], torch.tensor([[0.4, 0.0, 0.2]]))
    torch.testing.assert_close(cue["both"], torch.tensor([[0.2, 0.25, 0.55]]))
    some = of["both"].of(np.array([2, 0]), CPU)
    torch.testing.assert_close(some.cue(iou[:, [2, 0]]), torch.tensor([[0.55, 0.2]]))


def test_the_overlap_is_that_of_the_map():
    scene = Scene([(sheet(), 0.0), (sheet((0, 0, 1)), 0.0)], [sheet(), sheet((0, 0, 1))], sheet((0.2, 0, 0)))
    places = scene.places("overlap")
    expected = overlap_affinity(scene.recognized, scene.state, box_weight=0.0)
    np.testing.assert_array_equal(places.overlap, expected)
    assert expected[1].tolist() == [0, 1] and 0 < expected[0, 0] < 1
    assert places.margin_m is None


def test_poses_drift_with_the_time_out_of_view():
    unseen_s = [0.0, 5.0, 10.0, 60.0, -3.0]
    places = Scene([(NOTHING, one) for one in unseen_s], []).places("box", 0.2)
    np.testing.assert_allclose(places.margin_m, [0, 0.1, 0.2, 0.2, 0], atol=1e-6)
    assert places.overlap is None
    torch.testing.assert_close(places.of(np.array([1, 4]), CPU).margin_m, torch.tensor([0.1, 0.0]))


@pytest.mark.parametrize("max_points", [10_000, 500])
def test_without_displacement_it_is_the_overlap(monkeypatch, max_points):
    monkeypatch.setattr(geometric_cue, "_MAX_POINTS", max_points)
    tracks = [(sheet(), 0.0), (sheet((0.2, 0, 0.4)), 0.0), (sheet((5, 5, 5)), 0.0)]
    scene = Scene(tracks, [sheet(), sheet((0.3, 0.1, 0.4)), sheet((-3, 0, 0))], unmasked=sheet((0.1, 0.3, 0)))
    expected = overlap_affinity(scene.recognized, scene.state, box_weight=0.0)
    assert (expected > 0.1).sum() == 2
    np.testing.assert_allclose(scene.displaced(0, 0, 0), expected, atol=0.0 if max_points == 10_000 else 0.05)


@pytest.mark.parametrize(
    ("displaced_m", "unseen_s", "found"),
    [
        (0.0, 0.0, True),
        (0.08, 60.0, True),
        (0.08, 0.0, False),
        (0.08, 6.0, False),
        (0.08, 9.0, True),
        (0.18, 60.0, False),
    ],
)
def test_a_door_is_found_beside_its_voxels(displaced_m, unseen_s, found):
    """Of 0.1 m, 0.06 m are forgiven after 6 s, and 0.09 m after 9 s."""
    scene = Scene([(sheet(), unseen_s)], [sheet((0, 0, displaced_m))])
    overlap = scene.places("overlap", 0.1).overlap
    assert overlap.tolist() == [[pytest.approx(1.0 if found else 0.0)]]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_surface_of_any_direction_is_crossed(seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    displaced_m = 0.08 * np.abs(normal).max() * normal * rng.choice([-1, 1])
    scene = Scene([(sheet(normal=normal), 0.0)], [sheet(displaced_m, normal)])
    assert scene.displaced(0.1) > 0.6  # its rim finds nothing
    assert scene.displaced(0.0) < scene.displaced(0.1)


def test_who_disputes_a_voxel_counts_too():
    scene = Scene([(sheet(), 0.0), (sheet(), 0.0)], [sheet((0, 0, 0.04))])
    assert scene.displaced(0.04, 0.0).tolist() == [[1, 0]]
    assert scene.displaced(0.0, 0.04).tolist() == [[0, 1]]
