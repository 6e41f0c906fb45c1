from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import BlockMasks, NoMasks, frame_of

from autoseg3d_ros import config
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.geometric_cue import GeometricCue
from autoseg3d_ros.learned_association import EmbeddingAssociation, LongTermAssociation
from autoseg3d_ros.learned_recognition import exclusive
from autoseg3d_ros.lifting.masks import TruthMasks
from autoseg3d_ros.memory.bank import embedding_affinity
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.memory.merge_head import MergeHead
from autoseg3d_ros.memory.short_term import ShortTermState
from autoseg3d_ros.model.autoseg3d import AutoSeg3D, FrameDetections, NetworkState
from autoseg3d_ros.model.checkpoint import load_network, save_network, with_random_weights
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.recognition import overlap_affinity
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import Superpoints
from autoseg3d_ros.tracking.reference import ReferenceTracker

LEFT, RIGHT = (5, 5, 30, 40, 1.0), (45, 10, 25, 30, 2.0)
EVERYTHING = {  # random weights know nothing: let all queries pass
    "model.name": "tiny",
    "detection.min_score": 0.0,
    "detection.mask_threshold": 0.0,
    "detection.min_points": 1,
    "tracking.min_points": 1,
}


def segmenter(source=None, **changes) -> OnlineSegmenter:
    settings = config.replace(Config(), {**EVERYTHING, **changes})
    online = build_segmenter(settings)
    online._mask_source = source or BlockMasks()
    _let_every_query_see_half_of_the_points(online.recognition.network)
    return online


def _let_every_query_see_half_of_the_points(network: AutoSeg3D) -> None:
    """Fresh weights see all or nothing: shift the mask logits of each query to their median."""
    decode = network.decoder.forward

    def centred(*inputs, **options):
        decoded = decode(*inputs, **options)
        logits = decoded.last.mask_logits
        middle = logits.median(dim=1, keepdim=True).values if logits.shape[1] else logits
        last = replace(decoded.last, mask_logits=logits - middle)
        return replace(decoded, predictions=(*decoded.predictions[:-1], last))

    network.decoder.forward = centred


def superpoints_of(*superpoint: int) -> Superpoints:
    ids, num_points = np.array(superpoint, np.int32), len(superpoint)
    return Superpoints(
        xyz_m=np.arange(num_points * 3, dtype=np.float32).reshape(-1, 3),
        rgb=np.zeros((num_points, 3), np.uint8),
        pixel=np.arange(num_points),
        superpoint=ids,
        id_image=ids[None],
        num_superpoints=int(ids.max(initial=-1)) + 1,
    )


def found(mask: list[list[int]], num_points: int) -> FrameDetections:
    masks = torch.tensor(mask, dtype=torch.bool).reshape(len(mask), num_points)
    num = len(masks)
    score = torch.linspace(0.9, 0.5, num) if num else torch.zeros(0)
    label = torch.zeros(num, dtype=torch.int64)
    return FrameDetections(masks, score, label, torch.zeros(num, 4), torch.zeros(num, 6))


@pytest.mark.parametrize(
    ("superpoint", "mask", "of_point", "of_superpoint"),
    [
        ([], [], [], []),
        ([0, 0, 1], [], [-1, -1, -1], [-1, -1]),
        ([0, 0, 1], [[1, 1, 0]], [0, 0, -1], [0, -1]),
        ([0, 0, 1], [[1, 1, 0], [1, 1, 1]], [0, 0, 1], [0, 1]),  # the better one takes what both claim
        ([0, 0, 0, 0], [[1, 0, 0, 0], [0, 1, 1, 0]], [0, 1, 1, -1], [1]),  # a superpoint goes to whom most belongs
        ([0, 0, 0], [[1, 0, 0]], [0, -1, -1], [-1]),
    ],
)
def test_each_point_goes_to_the_best_detection(superpoint, mask, of_point, of_superpoint):
    claims = found(mask, len(superpoint))
    detections = exclusive(claims, superpoints_of(*superpoint))
    assert detections.of_point.tolist() == of_point
    assert detections.of_superpoint.tolist() == of_superpoint
    assert detections.num_points.tolist() == [of_point.count(index) for index in range(len(claims))]


@pytest.mark.parametrize("association", ["long_term", "geometric"])
def test_degenerate_frames_are_legal_anywhere(association):
    online = segmenter(**{"model.association": association})
    for index, blocks in enumerate([(), (LEFT,), (), (LEFT, RIGHT), (), ()]):
        segmented = online.step(frame_of(*blocks, index=index))
        assert segmented.label_image.shape == (60, 80)
    assert online.state.frame_index == 6


def test_a_frame_without_detections_and_one_with_all_tracks_dead():
    online = segmenter(**{"detection.min_score": 1.0})
    assert online.step(frame_of(LEFT, RIGHT)).instances == ()
    online = segmenter(**{"tracking.max_missed": 1})
    online.step(frame_of(LEFT, RIGHT))
    online.step(frame_of(index=1))
    online.step(frame_of(index=2))
    assert len(online.state.tracks.occupied()) == 0
    assert online.step(frame_of(LEFT, index=3)).point_ids.max() > 0


@pytest.mark.parametrize(("merge", "num_superpoints"), [(True, 2), (False, 4)])
def test_a_network_that_wants_them_united_gets_superpoints_of_whole_surfaces(merge, num_superpoints):
    """The blocks stand apart, and each comes in two pieces."""
    online = segmenter(TruthMasks(2, 0), **{"fragments.merge": merge})
    percept = online.perceive(frame_of(LEFT, RIGHT))
    assert percept.superpoints.num_superpoints == percept.glance.num_superpoints == num_superpoints
    assert np.array_equal(percept.glance.superpoint.numpy(), percept.superpoints.superpoint)


def test_frames_without_masks_are_segmented():
    assert segmenter(NoMasks()).step(frame_of(LEFT, RIGHT)).point_ids.max() > 0


def labels(online: OnlineSegmenter) -> list[list[int]]:
    frames = [frame_of(LEFT, RIGHT, index=index, shift_m=0.01 * index) for index in range(4)]
    return [online.step(frame).point_ids.tolist() for frame in frames]


def test_the_same_seed_gives_the_same_labels_and_a_reset_forgets_everything():
    online = segmenter()
    first = labels(online)
    assert first == labels(segmenter())
    online.reset()
    assert labels(online) == first


@pytest.mark.parametrize(
    ("name", "part", "module"),
    [
        ("tiny", "voxel_memory", "voxel_memory"),
        ("tiny", "fragment_merging", "partition"),
        ("edge", "fragment_merging", "fragment_merging"),
        ("tiny", "short_term", "short_term"),
    ],
)
def test_a_part_that_is_off_is_gone(name, part, module):
    for is_on in (True, False):
        online = segmenter(**{"model.name": name, f"model.{part}": is_on})
        network = online.recognition.network
        assert any(one.startswith(module) for one, _ in network.named_parameters()) is is_on
        assert len(labels(online)) == 4


def test_the_objects_are_parts_of_a_partition_of_the_superpoints():
    """What LMI unites is one detection, whatever the masks say; without it the masks of the decoder are."""
    online = segmenter(TruthMasks(2, 0), **{"fragments.merge": False})
    network = online.recognition.network
    for bias, num_objects in ((40.0, 1), (-40.0, 4)):
        with torch.no_grad():
            network.partition.merge_logit.bias.fill_(bias)
        percept = online.perceive(frame_of(LEFT, RIGHT))
        detections = online.recognition.recognize(percept, online.state).detections
        assert percept.superpoints.num_superpoints == 4
        assert len(detections) == len(set(detections.of_superpoint.tolist())) == num_objects
        assert np.array_equal(detections.of_point, detections.of_superpoint[percept.superpoints.superpoint])


def test_a_partition_is_told_what_lies_across_the_borders():
    online = segmenter(TruthMasks(2, 0), **{"fragments.merge": False})
    borders = online.perceive(frame_of(LEFT, RIGHT)).glance.borders
    touching = borders[..., 0].bool()
    assert borders.shape == (4, 4, 7) and touching.sum() == 4  # the pieces of each block, both ways
    assert (borders[touching][:, 1] > 0.5).all() and (borders[touching][:, 3:6] < 0.1).all()
    plain = segmenter(TruthMasks(2, 0), **{"model.fragment_merging": False})
    assert plain.perceive(frame_of(LEFT, RIGHT)).glance.borders is None


def test_half_precision_changes_little_and_what_is_tracked_is_not_halved():
    online = segmenter(**{"model.precision": "bfloat16"})
    percept, network = online.perceive(frame_of(LEFT, RIGHT)), online.recognition.network
    with torch.inference_mode():
        full = network.encode(percept.glance, NetworkState(ShortTermState(1)))
        with online.recognition._precision():
            half = network.encode(percept.glance, NetworkState(ShortTermState(1)))
    assert 0 < (full - half).abs().max() < 0.05 * full.abs().max()
    online.remember(percept)
    assert online.state.learned.bank.embedding.dtype == torch.float32


def test_a_network_survives_its_file(tmp_path):
    network = with_random_weights(PRESETS["tiny"], seed=3)
    save_network(network, tmp_path / "tiny.safetensors", {"origin": "a test"})
    again = load_network(tmp_path / "tiny.safetensors")
    assert again.config == network.config
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in network.state_dict().items())
    assert not (tmp_path / "tiny.safetensors.partial").exists()
    online = segmenter(**{"model.path": str(tmp_path / "tiny.safetensors")})
    assert len(labels(online)) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.name": "huge"}, "expected auto, none, base, edge, tiny .*got 'huge'"),
        ({"model.device": "cuda:99"}, "model.device: 'cuda:99' cannot be used"),
        ({"model.device": "toaster"}, "model.device: 'toaster' cannot be used"),
        ({"model.name": "edge", "model.association": "embedding"}, "embedding is no part of this network"),
        ({"model.path": "/nowhere/x.safetensors"}, "no such file"),
        ({"model.path": __file__}, "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_when_the_segmenter_is_built(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_segmenter(config.replace(Config(), {"model.name": "tiny", **changes}))


def test_a_file_that_lacks_tensors_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "tiny.safetensors"
    network = AutoSeg3D(PRESETS["tiny"])
    save_network(network, path)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(ConfigError, match=r"expected the format 'autoseg3d_ros 1' in its header, got None"):
        load_network(path)
    save_network(network, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="cannot be read"):
        load_network(path)


def test_the_reference_preset_is_a_configuration_of_this_package():
    settings = config.load(Path(__file__).parents[1] / "config" / "reference.yaml")
    assert settings.tracking.reference and settings.tracking.min_observations == 1
    online = build_segmenter(config.replace(settings, {"model.name": "tiny"}))
    assert isinstance(online._tracker, ReferenceTracker)


@pytest.fixture(scope="module")
def seen_twice():
    """Return a segmenter with a network after one frame, and what it recognizes in the next."""
    online = segmenter()
    online.step(frame_of(LEFT, RIGHT))
    percept = online.perceive(frame_of(LEFT, RIGHT, index=300, shift_m=0.02))  # 30 s later
    recognized = online.recognition.recognize(percept, online.state)
    assert len(recognized.detections) and len(online.state.tracks.occupied())
    return online, recognized


@pytest.mark.parametrize("kind", ["long_term", "embedding"])
@torch.inference_mode()
def test_affinities_are_products_with_the_cue(seen_twice, kind):
    online, recognized = seen_twice
    network, state, seen = online.recognition.network, online.state, recognized.observed.to_match
    stored = state.learned.bank.at(state.tracks.occupied())
    torch.manual_seed(0)
    learned = LongTermAssociation if kind == "long_term" else EmbeddingAssociation
    part = network.long_term if kind == "long_term" else MergeHead(128)

    def affinity(cue: GeometricCue) -> np.ndarray:
        return learned(part, cue).affinity(recognized, state)

    published = (
        network.long_term.affinity(seen.embedding, seen.box_m, stored.embedding, stored.box_m).score
        if kind == "long_term"
        else embedding_affinity(seen, stored)
    )
    box = affinity(GeometricCue())
    np.testing.assert_array_equal(box, published.numpy())
    overlap, both = affinity(GeometricCue("overlap")), affinity(GeometricCue("both"))
    assert overlap.max() > 0 and not np.array_equal(overlap, box)
    np.testing.assert_allclose(both, (overlap + box) / 2, rtol=0, atol=1e-7)
    places = overlap_affinity(recognized, state, box_weight=0.0)
    assert (overlap[places == 0] == 0).all()
    wider = affinity(GeometricCue("box", 0.5))
    assert not np.array_equal(wider, box) and np.isfinite(wider).all()


def test_none_of_the_tracks_is_no_match(seen_twice):
    online, recognized = seen_twice
    memory = LongTermMemory(128, 4, dustbin=True)
    for likelihood, expected in ((-1e4, True), (1e4, False)):
        torch.nn.init.constant_(memory.none_logit.bias, likelihood)
        with torch.inference_mode():
            affinity = LongTermAssociation(memory, GeometricCue("overlap")).affinity(recognized, online.state)
        assert (affinity.max() > 0) == expected


@pytest.mark.parametrize(
    "changes", [{}, {"model.geometric_cue": "both", "model.pose_error_m": 0.1, "model.short_term_frames": 3}]
)
def test_settings_reach_what_they_are_for(changes):
    online = segmenter(**changes)
    assert len(labels(online)) == 4
    assert online.recognition.association._cue == (
        GeometricCue("both", 0.1) if changes else GeometricCue("overlap", 0.0)
    )
    assert len(online.state.learned.network.superpoints.frames) == (3 if changes else 1)
