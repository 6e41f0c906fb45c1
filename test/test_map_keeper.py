"""When the node writes its map, and that no id comes twice whichever of its files it goes on from."""

from __future__ import annotations

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from map_builders import geometric_segmenter, steps, walk

from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import FRAMES_AHEAD, IDS_AHEAD, snapshot
from autoseg3d_ros.ros import map_keeper
from autoseg3d_ros.ros.map_keeper import MapKeeper

HOUR_S = 3600.0


class AnyWorker:
    """Answers at once."""

    def __init__(self, segmenter) -> None:
        self.segmenter = segmenter

    def ask(self, action):
        return action(self.segmenter)


class Case:
    """A segmenter with a keeper of its map; nothing is written behind the test's back."""

    def __init__(self, folder, **changes) -> None:
        settings = {"map.directory": str(folder), "map.path": "hall.map", "map.autosave_period_s": HOUR_S, **changes}
        self.online = geometric_segmenter(**settings)
        self.path = folder / "hall.map"
        self.keeper = MapKeeper(self.online, self.online.config)

    def autosave(self) -> bool:
        """Return whether something was written."""
        before = self.keeper.num_saved
        self.keeper.autosave(self.online)
        if self.keeper._autosave is not None:
            self.keeper._autosave.result(10)
        return self.keeper.num_saved > before


def test_a_map_without_frames_is_not_written(tmp_path):
    case = Case(tmp_path)
    assert not case.autosave()
    steps(case.online, walk(1))
    assert case.autosave(), "the first one does not wait for its period"
    assert not case.autosave()


def test_never_without_a_period(tmp_path):
    case = Case(tmp_path, **{"map.autosave_period_s": 0.0})
    steps(case.online, walk(1))
    assert not case.autosave()


def test_an_autosave_waits_for_its_period_and_for_a_change(tmp_path, monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(map_keeper.time, "monotonic", lambda: now_s[0])
    case = Case(tmp_path)
    frames = walk(2)
    steps(case.online, frames[:1])
    assert case.autosave()
    now_s[0] += HOUR_S
    assert not case.autosave(), "nothing has changed"
    steps(case.online, frames[1:])
    assert case.autosave()
    steps(case.online, walk(3)[2:])
    now_s[0] += HOUR_S - 1.0
    assert not case.autosave()


def test_what_is_written_while_the_map_goes_on_is_ahead(tmp_path):
    case = Case(tmp_path)
    steps(case.online, walk(3))
    next_id = case.online.state.tracks.next_id
    case.autosave()
    saved = case.keeper.save(AnyWorker(case.online), "asked.map", overwrite=False)
    for path in (case.path, saved.path):
        assert (read_map(path).next_id, read_map(path).frame_index) == (next_id + IDS_AHEAD, 3 + FRAMES_AHEAD), path


def test_the_last_save_is_exact(tmp_path):
    case = Case(tmp_path, **{"map.save_on_shutdown": True})
    steps(case.online, walk(3))
    case.autosave()
    next_id = case.online.state.tracks.next_id
    case.keeper.close(case.online)
    assert (read_map(case.path).next_id, read_map(case.path).frame_index) == (next_id, 3)


@pytest.mark.parametrize(
    ("num_ids", "num_frames", "is_due"),
    [(IDS_AHEAD // 2, FRAMES_AHEAD // 2, False), (IDS_AHEAD // 2 + 1, 1, True), (0, FRAMES_AHEAD // 2 + 1, True)],
)
def test_before_the_ids_or_frames_run_out_it_is_written_again(tmp_path, num_ids, num_frames, is_due):
    case = Case(tmp_path)
    steps(case.online, walk(1))
    assert case.autosave()
    case.online.state.tracks.next_id += num_ids
    case.online.state.frame_index += num_frames
    assert case.autosave() == is_due


def test_a_map_that_was_loaded_is_written_before_it_gives_an_id(tmp_path):
    """A second start from the same file would give the ids of the first one again."""
    first = geometric_segmenter()
    steps(first, walk(3))
    write_map(snapshot(first, ""), tmp_path / "hall.map", overwrite=False)
    case = Case(tmp_path, **{"map.autoload": True})
    assert case.online.state.map_id == first.state.map_id
    assert case.autosave()
    assert read_map(case.path).next_id == first.state.tracks.next_id + IDS_AHEAD


def test_a_failure_is_counted_and_tried_again_a_period_later(tmp_path, monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(map_keeper.time, "monotonic", lambda: now_s[0])
    case = Case(tmp_path)
    case.path.write_text("no map, so it is not replaced")
    steps(case.online, walk(1))
    assert not case.autosave() and case.keeper.num_failed == 1
    assert not case.autosave() and case.keeper.num_failed == 1
    case.path.unlink()
    now_s[0] += HOUR_S
    assert case.autosave()
