"""Saved maps with what a network has stored of the tracks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from map_builders import content, grown, state_of, steps, walk
from test_learned_recognition import segmenter

from autoseg3d_ros.model.checkpoint import save_network, with_random_weights
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import MapSnapshot, snapshot
from autoseg3d_ros.persistence.network_digest import network_digest
from autoseg3d_ros.persistence.restoration import restore
from autoseg3d_ros.segmenter import OnlineSegmenter

# Without the memories of the network that a file leaves out, and with births in every frame.
LONG_TERM_ONLY = {"model.voxel_memory": False, "model.short_term": False, "model.min_affinity": 0.9}


def learned(num_frames: int = 0, **changes) -> OnlineSegmenter:
    online = segmenter(**{**LONG_TERM_ONLY, **changes})
    steps(online, walk(num_frames))
    return online


def saved_of(online: OnlineSegmenter) -> MapSnapshot:
    return snapshot(online, network_digest(online))


def test_a_network_goes_on_with_the_same_features(tmp_path):
    uninterrupted, restored = learned(4), learned()
    saved = saved_of(uninterrupted)
    assert saved.num_instances > 1
    assert saved.arrays["feature_embedding"].any()
    write_map(saved, tmp_path / "a.autoseg3d", overwrite=False)
    restore(read_map(tmp_path / "a.autoseg3d"), restored)
    assert content(saved_of(restored)) == content(saved)
    frames = walk(8)[4:]
    for expected, found in zip(steps(uninterrupted, frames), steps(restored, frames), strict=True):
        np.testing.assert_array_equal(found.label_image, expected.label_image)
    assert content(saved_of(restored)) == content(saved_of(uninterrupted))


def test_a_whole_network_forgets_its_last_frames_and_nothing_else():
    everything = {"model.voxel_memory": True, "model.short_term": True}
    uninterrupted, restored = learned(3, **everything), learned(0, **everything)
    restore(saved_of(uninterrupted), restored)
    uninterrupted.state.learned.network = learned(0, **everything).state.learned.network
    assert steps(restored, walk(5)[3:])[-1].events == steps(uninterrupted, walk(5)[3:])[-1].events
    assert content(saved_of(restored)) == content(saved_of(uninterrupted))


@pytest.mark.parametrize("changes", [{"model.path": "other.safetensors"}, {"model.association": "geometric"}])
def test_features_of_another_network_are_refused(changes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_network(with_random_weights(PRESETS["tiny"], seed=1), tmp_path / "other.safetensors")
    saved, online = saved_of(learned(2)), learned(1, **changes)
    state, before = online.state, content(saved_of(online))
    with pytest.raises(MapFileError, match="features are of another network") as caught:
        restore(saved, online)
    assert caught.value.reason == MapFault.INCOMPATIBLE
    assert online.state is state
    assert content(saved_of(online)) == before


def test_features_are_refused_by_recognition_without_a_network():
    online = grown(3)
    before = state_of(online)
    with pytest.raises(MapFileError, match="features are of another network"):
        restore(saved_of(learned(2)), online)
    assert state_of(online) == before


def test_a_network_knows_tracks_without_features_by_their_boxes():
    saved, online = snapshot(grown(8), ""), learned()
    restore(saved, online)
    bank, slots = online.state.learned.bank, saved.arrays["track_slot"]
    box = saved.arrays["shape_box_m"]
    np.testing.assert_allclose(bank.box_m[slots][:, :3], box.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(bank.box_m[slots][:, 3:], box[:, 1] - box[:, 0], atol=1e-6)
    assert bank.age[slots].tolist() == (saved.arrays["track_num_observations"] - 1).tolist()
    steps(online, walk(10)[8:])
    assert online.state.frame_index == 10


def test_a_digest_is_of_every_weight():
    online = learned()
    digest = network_digest(online)
    assert digest == network_digest(learned())
    with torch.no_grad():
        next(online.recognition.network.parameters()).view(-1)[0] += 1e-6
    assert network_digest(online) != digest
