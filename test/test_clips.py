"""From scene folders to clips: lifted as in a run, drawn by a seed, with the boxes of whole objects."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from clip_builders import BLOCKS, CACHE, CLASS_IDS, a_scene, cached, still_frames, surface_of, without_truth
from scenes import frame_of

from autoseg3d_ros.data.scene_folder import SceneChange, SceneFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.geometry import boxes_of_groups
from autoseg3d_ros.lifting.masks import TruthMasks
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.training.augmentation import NO_AUGMENTATION, AugmentationConfig
from autoseg3d_ros.training.cached_scene import CachedScene
from autoseg3d_ros.training.clips import Clip, ClipConfig, ClipSource, centre_and_size, rows_of
from autoseg3d_ros.training.frame_cache import CacheConfig, cache_scenes, not_cached, num_kept_frames
from autoseg3d_ros.training.samples import frame_sample
from autoseg3d_ros.training.sampling import evenly_drawn
from autoseg3d_ros.training.scene_surfaces import thinned
from autoseg3d_ros.training.targets import NOTHING

CLIPS = ClipConfig(num_frames=3, masks={"truth-2": 1.0})


def source_of(*scenes: CachedScene, clips: ClipConfig = CLIPS, seed: int = 0, **changes: object) -> ClipSource:
    return ClipSource(scenes, CLASS_IDS, clips, replace(NO_AUGMENTATION, **changes), seed)


def bytes_of(clip: Clip) -> bytes:
    names = ("xyz_m", "rgb", "superpoint", "object_row", "box_m", "number")
    arrays = [getattr(frame, name) for frame in clip.frames for name in names]
    arrays += [frame.borders.pairs for frame in clip.frames]
    return b"".join(np.asarray(array).tobytes() for array in (*arrays, clip.instance, clip.semantic))


# -------------------------------------------------------------------------------------------------------------- pieces


@pytest.mark.parametrize(("num_candidates", "num_points", "expected"), [(0, 5, 0), (3, 5, 3), (5, 5, 5), (50, 5, 5)])
def test_points_are_drawn_evenly(num_candidates, num_points, expected):
    candidates = np.arange(num_candidates) * 2
    drawn = evenly_drawn(candidates, num_points, np.random.default_rng(0))
    assert len(drawn) == expected
    assert (np.diff(drawn) > 0).all() and np.isin(drawn, candidates).all()
    if num_candidates == 50:
        assert (drawn // 20).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("values", "table", "expected"),
    [([], [], []), ([3], [], [-1]), ([], [3], []), ([3, 0, 9, 5, 3], [5, 3], [1, -1, -1, 0, 1])],
)
def test_rows(values, table, expected):
    assert rows_of(np.array(values, np.int32), np.array(table, np.int32)).tolist() == expected


def test_thinned_surface_keeps_its_box_however_it_is_turned():
    assert thinned(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert len(thinned(np.ones((4, 3), np.float32))) == 1
    points = (np.random.default_rng(0).random((9000, 3)) * [0.4, 0.3, 0.5]).astype(np.float32)
    few = thinned(points)
    assert len(few) < 1000
    for angle in (0.0, 0.7, 2.0):
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        for end in (np.min, np.max):
            assert np.allclose(end(few @ turn.T, axis=0), end(points @ turn.T, axis=0), atol=1e-6)


# --------------------------------------------------------------------------------------------------------------- cache


def test_frames_are_lifted_as_in_a_run(tmp_path):
    frame = still_frames(1)[0]
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", [frame]))
    assert len(scene) == 1 and scene.masks == ("regions", "truth-2")
    lifted = scene.frame(0, "truth-2")
    stored = next(iter(SceneFolder(tmp_path / "room").source().frames()))
    expected = lift(stored, TruthMasks(2, 0).masks(stored), CACHE.run.depth, CACHE.run.lifting, seed=0)
    assert np.array_equal(lifted.xyz_m, expected.xyz_m)
    assert np.array_equal(lifted.rgb, expected.rgb)
    assert np.array_equal(lifted.superpoint["truth-2"], expected.superpoint)
    assert np.array_equal(lifted.instance, frame.truth.ravel()[expected.pixel])
    assert expected.num_superpoints == 4


def test_united_kinds_are_what_geometry_makes_of_the_plain_ones(tmp_path):
    """The blocks stand apart, and each half of one touches the other half without an edge."""
    config = replace(CACHE, masks=("truth-2", "united-truth-2"))
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(1)), config=config)
    plain, one = scene.frame(0, "truth-2").superpoint["truth-2"], scene.frame(0, "united-truth-2")
    whole = one.superpoint["united-truth-2"]
    assert len(np.unique(plain)) == 4
    pairs = np.unique(np.stack([whole, one.instance], axis=1), axis=0)
    assert pairs[:, 0].tolist() == [0, 1], "one superpoint an instance"
    assert len(one.borders["united-truth-2"].pairs) == 0, "and the blocks do not touch"


def test_a_cache_goes_on_where_it_was_stopped(tmp_path):
    scenes = [a_scene(tmp_path / name, still_frames(4)) for name in ("a", "b")]
    cache, config = tmp_path / "cache", replace(CACHE, every=2)
    assert [num_kept_frames(scene, config) for scene in scenes] == [2, 2]
    counted: list[int] = []
    reports = list(cache_scenes(scenes, cache, config, 1, lambda: len(counted) >= 3, counted.append))
    assert [report.num_frames for report in reports] == [2]
    assert not_cached(scenes, cache, config) == scenes[1:]
    assert [file.name for file in cache.iterdir()] == ["a"]  # of the second, nothing is left
    list(cache_scenes(scenes[1:], cache, config, 1))
    assert not_cached(scenes, cache, config) == []
    assert [CachedScene(cache / "b").number(index) for index in range(2)] == [0, 2]
    assert not_cached(scenes, cache, replace(config, num_points=10)) == scenes  # other settings, other frames


def test_same_scene_same_bytes(tmp_path):
    scene, config = a_scene(tmp_path / "room", still_frames(2)), replace(CACHE, num_points=300)
    for cache in ("a", "b"):
        list(cache_scenes([scene], tmp_path / cache, config, 1))
    files = sorted(file.name for file in (tmp_path / "a" / "room").glob("*.npz"))
    arrays = [CachedScene(tmp_path / cache / "room").frame(1, "regions").xyz_m for cache in ("a", "b")]
    assert files == ["000000.npz", "000001.npz", "truth.npz"]
    assert arrays[0].shape == (300, 3) and arrays[0].tobytes() == arrays[1].tobytes()


def test_frames_and_scenes_that_cannot_be_used(tmp_path):
    scene = a_scene(tmp_path / "room", still_frames(3))
    (tmp_path / "room" / "pose" / "000001.txt").write_text("lost")
    (tmp_path / "room" / "instance" / "000002.png").unlink()
    (report,) = cache_scenes([scene], tmp_path / "cache", CACHE, 1)
    assert report.num_frames == 1
    assert "000001.txt" in report.skipped[0] and "needs an instance image" in report.skipped[1]
    (tmp_path / "room" / "instance" / "000000.png").unlink()
    (report,) = cache_scenes([scene], tmp_path / "other", CACHE, 1)
    assert "no frame can be used" in report.reason
    assert list((tmp_path / "other").iterdir()) == []
    with pytest.raises(ValueError, match="expected regions, file or truth-K"):
        list(cache_scenes([scene], tmp_path / "other", CacheConfig(masks=("truth-0",)), 1))


def test_damaged_caches(tmp_path):
    scene = a_scene(tmp_path / "room", still_frames(1))
    with pytest.raises(SourceError, match="expected a finished scene"):
        CachedScene(tmp_path / "cache" / "room")
    (lifted,) = cached(tmp_path / "cache", scene)
    with pytest.raises(ValueError, match=r"expected masks \['truth-9'\]"):
        source_of(lifted, clips=ClipConfig(masks={"truth-9": 1.0}))
    (lifted.path / "000000.npz").write_bytes(b"PK")
    with pytest.raises(SourceError, match="lift the scene again"):
        lifted.frame(0, "regions")
    (lifted.path / "made.json").write_text("{")
    with pytest.raises(SourceError, match=r"made\.json"):
        not_cached([scene], tmp_path / "cache", CACHE)


# --------------------------------------------------------------------------------------------------------------- clips


def test_a_frame_without_a_point_or_an_instance(tmp_path):
    frames = [*still_frames(1), without_truth(still_frames(2)[1]), frame_of(index=2)]
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", frames))
    frames = {frame.number: frame for frame in source_of(scene).clip(0, 0).frames}
    assert [len(frames[number].xyz_m) > 0 for number in range(3)] == [True, True, False]
    assert (frames[1].object_row == NOTHING).all()
    assert frames[2].num_superpoints == 0
    assert all(frame.box_m.shape == (2, 6) for frame in frames.values())


def test_a_clip_without_an_instance(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", [without_truth(still_frames(1)[0])]))
    clip = source_of(scene, elastic_probability=1.0).clip(0, 0)
    assert clip.instance.shape == clip.semantic.shape == (0,)
    assert clip.frames[0].box_m.shape == (0, 6)
    assert len(clip.frames[0].xyz_m) > 0


@pytest.mark.parametrize(("num_frames", "steps"), [(1, (1,)), (3, (1,)), (3, (2,)), (8, (1, 3))])
def test_frames_follow_each_other_and_wrap_around(tmp_path, num_frames, steps):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(5)))
    source = source_of(scene, clips=replace(CLIPS, num_frames=num_frames, steps=steps, clips_per_scene=30))
    assert len(source) == 30
    starts, taken = set(), set()
    for index in range(30):
        numbers = [frame.number for frame in source.clip(0, index).frames]
        step = {(after - before) % 5 for before, after in pairwise(numbers)}
        assert len(numbers) == num_frames and len(step) <= 1
        starts.add(numbers[0])
        taken |= step
    assert starts == {0, 1, 2, 3, 4}
    assert taken == (set(steps) if num_frames > 1 else set())


def test_same_seed_same_bytes(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(5)))
    clips = replace(CLIPS, num_points=200)
    sources = [ClipSource([scene], CLASS_IDS, clips, AugmentationConfig(colour_gain=0.1), seed) for seed in (0, 0, 1)]
    first, second, other = (bytes_of(source.clip(2, 0)) for source in sources)
    assert first == second != other
    sources[0].clip(0, 0)
    assert bytes_of(sources[0].clip(2, 0)) == first != bytes_of(sources[0].clip(3, 0))


def test_scenes_take_turns(tmp_path):
    scenes = cached(tmp_path / "cache", *(a_scene(tmp_path / name, still_frames(1)) for name in ("a", "b")))
    source = source_of(*scenes, clips=replace(CLIPS, clips_per_scene=2))
    assert [source.clip(0, index).scene for index in range(len(source))] == ["a", "b", "a", "b"]


def test_points_and_superpoints_of_a_frame(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(1)))
    clip = source_of(scene, clips=replace(CLIPS, num_frames=1, num_points=100)).clip(0, 0)
    (frame,) = clip.frames
    assert (len(frame.xyz_m), frame.xyz_m.dtype, frame.rgb.dtype) == (100, np.float32, np.uint8)
    assert np.unique(frame.superpoint).tolist() == list(range(frame.num_superpoints)) == [0, 1, 2, 3]
    assert clip.instance.tolist() == [1, 2] and clip.semantic.tolist() == [0, 1]
    assert np.unique(frame.object_row).tolist() == [0, 1]
    for place in range(4):  # truth in pieces: a piece is of one object
        assert len(np.unique(frame.object_row[frame.superpoint == place])) == 1
    assert set(np.round(frame.xyz_m[frame.object_row == 1, 2], 3)) == {3.0}


def test_masks_are_mixed_frame_by_frame(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(1)))
    clips = ClipConfig(num_frames=60, masks={"regions": 3.0, "truth-2": 1.0})
    kinds = [frame.masks for frame in source_of(scene, clips=clips).clip(0, 0).frames]
    assert 35 < kinds.count("regions") < 55
    assert kinds.count("truth-2") == 60 - kinds.count("regions")


def test_a_class_that_is_not_learned(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(1)))
    assert ClipSource([scene], [7], CLIPS, NO_AUGMENTATION).clip(0, 0).semantic.tolist() == [NOTHING, 0]


# --------------------------------------------------------------------------------------------------------------- boxes


def whole_boxes(shift_m: float = 0.0) -> np.ndarray:
    surface = surface_of(still_frames(1)[0])
    corners_m = boxes_of_groups(surface.vertices_m + np.float32([shift_m, 0, 0]), surface.instance_id - 1, 2)
    return centre_and_size(corners_m)


def test_boxes_are_of_the_whole_objects_where_the_pose_of_the_frame_puts_them(tmp_path):
    seen = [frame_of((5, 5, 10, 10, 2.0), BLOCKS[1], index=index, shift_m=0.25 * index) for index in range(3)]
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", seen, mesh_of=still_frames(1)[0]))
    for frame in source_of(scene).clip(0, 0).frames:
        assert np.allclose(frame.box_m, whole_boxes(0.25 * frame.number), atol=1e-5)


@pytest.mark.parametrize("elastic", [0.0, 1.0])
def test_boxes_are_those_of_the_augmented_surface(tmp_path, elastic):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(2, drift_m=0.1)))
    config = replace(AugmentationConfig(), elastic_probability=elastic)
    source = ClipSource([scene], CLASS_IDS, CLIPS, config)
    for epoch in range(4):
        for frame in source.clip(epoch, 0).frames:  # all of the surface is seen, so its points have the same box
            corners_m = boxes_of_groups(frame.xyz_m, frame.object_row, 2)
            assert np.allclose(frame.box_m, centre_and_size(corners_m), atol=0.08 if elastic else 1e-5)


def test_box_of_an_instance_without_a_surface_is_what_the_clip_sees(tmp_path):
    nothing = frame_of((5, 5, 30, 40, 2.0))
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(2), mesh_of=nothing))
    assert scene.truth.instance_id.tolist() == [1, 2] and set(scene.truth.instance) == {1}
    for frame in source_of(scene).clip(0, 0).frames:
        assert np.allclose(frame.box_m, whole_boxes(), atol=1e-5)


def test_boxes_of_a_thing_that_was_moved(tmp_path):
    here, there = (5, 5, 20, 20, 2.0), (50, 30, 20, 20, 2.5)
    frames = [frame_of(here, index=0), frame_of(here, index=1), frame_of(there, index=2), frame_of(there, index=3)]
    change = SceneChange("moved", 1, frame=2)
    room = a_scene(tmp_path / "room", frames, mesh_of=frames[3], changes=(change,))
    (scene,) = cached(tmp_path / "cache", room)
    clip = source_of(scene, clips=replace(CLIPS, num_frames=4)).clip(0, 0)
    assert clip.instance.tolist() == [1]
    for frame in clip.frames:
        expected = boxes_of_groups(frame.xyz_m, frame.object_row, 1)
        assert np.allclose(frame.box_m, centre_and_size(expected), atol=1e-5)
    assert {round(float(frame.box_m[0, 2]), 2) for frame in clip.frames} == {2.0, 2.5}


# ------------------------------------------------------------------------------------------------------------- tensors


@pytest.mark.parametrize(("num_classes", "labels"), [(1, [0, 0]), (18, [0, 1])])
def test_a_frame_as_tensors(tmp_path, num_classes, labels):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(2)))
    clip = source_of(scene).clip(0, 0)
    network = NetworkConfig(decoder=replace(NetworkConfig().decoder, num_classes=num_classes))
    sample = frame_sample(clip, 1, network, torch.device("cpu"))
    frame = clip.frames[1]
    assert torch.equal(sample.points.xyz_m, torch.from_numpy(frame.xyz_m))
    assert sample.points.num_superpoints == frame.num_superpoints
    assert sample.targets.label.tolist() == labels
    assert sample.targets.point_masks.sum(dim=1).tolist() == np.bincount(frame.object_row).tolist()
    row = sample.targets.superpoint_masks.int().argmax(dim=0)
    assert torch.equal(sample.targets.semantic, row)  # here each class has one object
    assert np.allclose(sample.targets.box_m, frame.box_m)


def test_void_points_have_no_class(tmp_path):
    frames = [still_frames(1)[0], without_truth(still_frames(2)[1])]
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", frames))
    clip = source_of(scene).clip(0, 0)
    void = next(index for index, frame in enumerate(clip.frames) if frame.number == 1)
    targets = frame_sample(clip, void, NetworkConfig(), torch.device("cpu")).targets
    assert targets.semantic.eq(NOTHING).all() and not targets.point_masks.any()
    assert len(targets.semantic) > 0


def test_void_is_a_class_of_its_own_where_the_network_knows_it(tmp_path):
    frames = [still_frames(1)[0], without_truth(still_frames(2)[1])]
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", frames))
    clip = source_of(scene).clip(0, 0)
    network = NetworkConfig(decoder=replace(NetworkConfig().decoder, knows_void=True))
    semantic = {
        frame.number: frame_sample(clip, index, network, torch.device("cpu")).targets.semantic
        for index, frame in enumerate(clip.frames)
    }
    assert semantic[1].eq(network.decoder.num_semantics).all() and len(semantic[1]) > 0
    assert semantic[0].max() < network.decoder.num_semantics


def test_an_empty_frame_as_tensors(tmp_path):
    frames = [still_frames(1)[0], frame_of(index=1)]
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", frames))
    clip = source_of(scene).clip(0, 0)
    empty = next(index for index, frame in enumerate(clip.frames) if frame.number == 1)
    sample = frame_sample(clip, empty, NetworkConfig(), torch.device("cpu"))
    assert sample.targets.point_masks.shape == (2, 0) and sample.points.grid.num_voxels(1) == 0
