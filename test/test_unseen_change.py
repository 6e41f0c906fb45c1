"""A change while nobody looks: by walks that look at a place, away, and at the place again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg3d_ros.data.scene_folder import SceneChange, SceneFolder
from autoseg3d_ros.data.synthetic import furnished_room, recording, unseen_change
from autoseg3d_ros.data.synthetic.generate import room_camera
from autoseg3d_ros.data.synthetic.recording import Recording, amodal_box, record
from autoseg3d_ros.data.synthetic.render import Renderer
from autoseg3d_ros.data.synthetic.scene import Scene
from autoseg3d_ros.structures import Frame, RigidPose

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

TINY = Recording("train", 0, 0, num_frames=4, width_px=64, height_px=48, exact_poses=True)
ROOM = furnished_room(7)
CAMERA = room_camera(24, 18)


def poses_towards(targets_m: Sequence[np.ndarray], origin=(0.0, 1.3, 1.4)) -> list[RigidPose]:
    poses = []
    for target in targets_m:
        forward = np.asarray(target) - origin
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0, 0, 1))
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        matrix[:3, 3] = origin
        poses.append(RigidPose.from_matrix(matrix))
    return poses


def centre_m(scene: Scene, id: int) -> np.ndarray:
    return np.array(amodal_box(next(one for one in scene.instances if one.id == id)).center_m)


def without(scene: Scene, id: int) -> Scene:
    return replace(scene, instances=tuple(one for one in scene.instances if one.id != id))


def there_and_back(num_looks: int, num_away: int, target_m: np.ndarray) -> list[RigidPose]:
    """Return poses that look at a place, at the opposite wall, and at the place again."""
    behind = 2 * np.array([0.0, 1.3, 1.4]) - target_m
    return poses_towards([target_m] * num_looks + [behind] * num_away + [target_m] * num_looks)


@pytest.mark.parametrize(
    ("num_looks", "num_away", "possible"),
    [(5, 20, [15]), (5, 22, [15, 16, 17]), (5, 19, []), (4, 30, []), (0, 30, [])],
)
@pytest.mark.parametrize("kind", ["removed", "added"])
def test_a_change_happens_while_nobody_looks(monkeypatch, kind, num_looks, num_away, possible):
    full, id = ROOM, ROOM.instances[0].id
    scene, changed = (full, without(full, id)) if kind == "removed" else (without(full, id), full)
    monkeypatch.setattr(unseen_change, "draw_change", lambda _scene, _rng: (changed, kind, id))
    monkeypatch.setattr(unseen_change, "_MAX_DRAWS", 1)
    poses = there_and_back(num_looks, num_away, centre_m(full, id))
    frames = set()
    for seed in range(4):
        found = unseen_change.unseen_change(scene, poses, CAMERA, np.random.default_rng(seed))
        if found is not None:
            assert found[0] is changed
            assert (found[1].kind, found[1].instance_id) == (kind, id)
            frames.add(found[1].frame)
    assert frames <= set(possible)
    assert bool(frames) == bool(possible)


def test_a_moved_thing_may_be_seen_at_neither_place(monkeypatch):
    one = ROOM.instances[0]
    old_m = centre_m(ROOM, one.id)
    moved = one.world_from_object.copy()
    moved[:2, 3] = (0.0, 2.4)
    changed = replace(
        ROOM, instances=tuple(replace(one, world_from_object=moved) if x is one else x for x in ROOM.instances)
    )
    monkeypatch.setattr(unseen_change, "draw_change", lambda _scene, _rng: (changed, "moved", one.id))
    monkeypatch.setattr(unseen_change, "_MAX_DRAWS", 1)
    new_m, away = centre_m(changed, one.id), np.array([0.0, -1.0, 1.4])
    rng = np.random.default_rng(0)
    found = unseen_change.unseen_change(ROOM, poses_towards([old_m] * 5 + [away] * 20 + [new_m] * 5), CAMERA, rng)
    assert found is not None and found[1].frame == 15
    looks_at_new_place = poses_towards([old_m] * 5 + [away] * 10 + [new_m] + [away] * 10 + [new_m] * 5)
    assert unseen_change.unseen_change(ROOM, looks_at_new_place, CAMERA, rng) is None


def recorded(folder: Path, wanted: Recording) -> SceneFolder:
    assert list(record(folder, wanted)) == list(range(wanted.num_frames))
    return SceneFolder(folder)


def test_a_changed_scene_shows_each_world_in_its_time(tmp_path, monkeypatch):
    removed = 3
    change = SceneChange("removed", removed, 2)
    monkeypatch.setattr(recording, "_CHANGING_SHARE", 1.0)
    monkeypatch.setattr(recording, "furnished_world", lambda _seed: ROOM)
    monkeypatch.setattr(recording, "unseen_change", lambda scene, *_: (without(scene, removed), change))
    poses = poses_towards([centre_m(ROOM, removed)] * 4)
    monkeypatch.setattr(recording, "walk", lambda *_: poses)
    scene = recorded(tmp_path / "changed", TINY)
    assert scene.info.changes == (change,)
    frames = [frame for frame in scene.source().frames() if isinstance(frame, Frame)]
    assert [removed in frame.truth for frame in frames] == [True, True, False, False]
    for number, world in ((1, ROOM), (2, without(ROOM, removed))):
        assert np.array_equal(frames[number].truth, Renderer(world, TINY.camera).view(poses[number]).instance)
    gone = next(one for one in scene.info.instances if one.id == removed)
    assert gone.box is None  # it is not there at the end, but its images are
    assert removed not in scene.mesh.instance_id
    still = recorded(tmp_path / "still", replace(TINY, still=True))
    assert still.info.changes == ()
    assert removed in still.mesh.instance_id
