"""Replaying the messages of random runs rebuilds the full list at every frame, whatever is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from rclpy.serialization import deserialize_message, serialize_message
from scenes import NO_PAIRS, BlockMasks, frame_of

from autoseg3d_ros import config
from autoseg3d_ros.client.instance_table import InstanceTable
from autoseg3d_ros.config import Config
from autoseg3d_ros.fragment_merging import FragmentMerger, FragmentRelations
from autoseg3d_ros.geometric_recognition import GeometricRecognition
from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import EventType, InstanceState
from autoseg3d_ros.tracking.tracker import Tracker

# The first two touch and can turn out to be one object; the last stands on voxels of the first.
BLOCKS = ((0, 5, 20, 40, 1.0), (20, 5, 20, 40, 1.0), (45, 10, 15, 30, 2.0), (62, 10, 15, 30, 1.5), (8, 15, 8, 8, 1.0))
NUM_FRAMES = 24
SETTINGS = {
    "tracking.min_observations": 2,
    "tracking.max_missed": 2,
    "tracking.lost_after": 2,
    "tracking.merge_votes": 2,
    "tracking.min_points": 5,
    "limits.max_instances": 3,
    "limits.retired_capacity": 1,
    "limits.max_points": 400,  # the map forgets what is out of view
    "lifting.num_points": 600,
    "map.voxel_m": 0.05,
}


class Joining:
    """Says that the first two superpoints are one object, while `joins`."""

    joins = False

    def __call__(self, frame, superpoints):
        pairs = np.array([[0, 1]], np.int32)[: superpoints.num_superpoints - 1]
        joined, apart = (pairs, NO_PAIRS) if self.joins else (NO_PAIRS, pairs)
        return FragmentRelations(joined=joined, strength=np.ones(len(joined), np.float32), apart=apart)


@dataclass(frozen=True)
class Published:
    """What the node would publish of one frame: the changes, and the list of all if it were due."""

    changes: InstanceArray | None  # None: the state before the first frame of a map
    full: InstanceArray


@cache
def published_run(seed: int, least_state: InstanceState) -> list[Published]:
    """Return the messages of a run over random frames with a reset in it, in the order of the frames."""
    rng, judge, changed = np.random.default_rng(seed), Joining(), config.replace(Config(), SETTINGS)
    tracker = Tracker(changed.tracking, changed.limits)
    recognition = GeometricRecognition(judge, FragmentMerger(changed.tracking), tracker, changed.tracking)
    online = OnlineSegmenter(BlockMasks(), recognition, tracker, changed)
    published, visible = [], rng.random(len(BLOCKS)) < 0.7

    def message(instances, events=(), **kind):
        shown = [one for one in instances if one.state >= least_state]
        index = max(online.state.frame_index - 1, 0)
        array = conversions.instance_array_msg(
            conversions.header(index, "map"), online.state.map_id, index, shown, events, **kind
        )
        return deserialize_message(serialize_message(array), InstanceArray)

    for index in range(NUM_FRAMES):
        if index in (0, NUM_FRAMES // 2):
            online.reset()
            published.append(Published(None, message(online.instances(), is_full=True)))
        visible ^= rng.random(len(BLOCKS)) < 0.2
        judge.joins = bool(rng.random() < 0.6)
        blocks = [block for block, is_visible in zip(BLOCKS, visible, strict=True) if is_visible]
        segmented = online.step(frame_of(*blocks, index=index, shift_m=0.01 * index))
        changes = message(segmented.instances, segmented.events)
        published.append(Published(changes, message(online.instances(), is_full=True)))
    return published


def rows(instances) -> list[str]:
    return [str(one) for one in instances]  # every field; NaN, the confidence of a newborn, is not equal to itself


@cache
def truth_of_run(seed: int, least_state: InstanceState) -> dict[tuple[bytes, int], list[str]]:
    """Return what is right after each frame, and before the first one, of each map."""
    run = published_run(seed, least_state)
    truth = {(bytes(one.full.map_id.uuid), one.full.frame_index): rows(one.full.instances) for one in run}
    return truth | {(bytes(one.full.map_id.uuid), -1): [] for one in run}


SEEDS = range(4)
LEAST_STATES = (InstanceState.TENTATIVE, InstanceState.ACTIVE)


def test_the_runs_have_all_that_can_happen():
    messages = [one.changes for seed in SEEDS for one in published_run(seed, InstanceState.TENTATIVE) if one.changes]
    assert {event.type for message in messages for event in message.events} == set(EventType)
    untold = [
        row.id
        for message in messages
        for row in message.instances
        if row.state in (InstanceState.LOST, InstanceState.RETIRED)
        and row.id not in {event.id for event in message.events}
    ]
    assert untold, "no instance ever lost voxels while it was out of view"


@pytest.mark.parametrize("least_state", LEAST_STATES, ids=lambda state: state.name.lower())
@pytest.mark.parametrize("seed", SEEDS)
def test_changes_alone_rebuild_the_full_list_at_every_frame(seed, least_state):
    table = InstanceTable()
    for published in published_run(seed, least_state):
        if published.changes is not None:
            table.update(published.changes)
            assert (table.is_complete, table.frame_index) == (True, published.changes.frame_index)
            assert rows(table.instances()) == rows(published.full.instances)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    least_state=st.sampled_from(LEAST_STATES),
    delivery=st.integers(0, 2**32 - 1),
    loss=st.sampled_from((0.0, 0.1, 0.5)),
)
def test_a_table_that_calls_itself_complete_is_right_whatever_was_lost(seed, least_state, delivery, loss):
    run, truth = published_run(seed, least_state), truth_of_run(seed, least_state)
    rng = np.random.default_rng(delivery)
    queues = [
        [one.changes for one in run if one.changes is not None and rng.random() >= loss],
        [one.full for one in run if rng.random() < 0.3] + [run[-1].full],
    ]
    table = InstanceTable()
    while any(queues):
        queue = queues[int(rng.integers(2))]  # each is in order, but not the one with the other
        if not queue:
            continue
        table.update(queue.pop(0))
        if table.is_complete:
            assert rows(table.instances()) == truth[table.map_id, table.frame_index]
    last = run[-1].full
    assert (table.is_complete, table.frame_index) == (True, last.frame_index), "the last full list mends everything"
    assert table.map_id == bytes(last.map_id.uuid)
