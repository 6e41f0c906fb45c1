"""What a truth object is called when it comes back after it was out of sight.

A return begins when an object that has been matched before counts as visible again after at least `min_absence` frames
in which it did not (`label_overlap` says what is visible and what matches). Its first match within `max_wait` visible
frames decides:
- right: the id of its last match,
- wrong: another id that has matched something before, another object or this one,
- new: an id that has never matched anything,
- missed: no match in these frames, or in fewer where it leaves again for as long or the recording ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg3d_ros.evaluation.label_overlap import FrameOverlap


@dataclass(frozen=True)
class RevivalCounts:
    """Returns of objects by what became of them; `dataclasses.asdict` is its JSON."""

    num_right: int
    num_wrong: int
    num_new: int
    num_missed: int

    @property
    def num_returns(self) -> int:
        return self.num_right + self.num_wrong + self.num_new + self.num_missed

    @property
    def right_share(self) -> float:
        """Right returns among all; NaN without any."""
        return self.num_right / self.num_returns if self.num_returns else float("nan")


class RevivalAccumulator:
    """Follows the truth objects of a sequence, frame by frame."""

    def __init__(self, min_absence: int = 10, max_wait: int = 10) -> None:
        self._min_absence = min_absence
        self._max_wait = max_wait
        self._frame = 0
        self._last_visible: dict[int, int] = {}  # truth id -> frame
        self._last_match: dict[int, int] = {}  # truth id -> predicted id
        self._known: set[int] = set()  # predicted ids that have matched
        self._waiting: dict[int, int] = {}  # truth ids that came back -> visible frames without a match since
        self._outcomes: Counter[str] = Counter()

    def update(self, overlap: FrameOverlap) -> None:
        """Add one frame."""
        matches = overlap.matches
        for truth_id in overlap.truth_ids.tolist():
            self._await_return(truth_id)
            if truth_id in self._waiting:
                self._judge(truth_id, matches.get(truth_id))
            self._last_visible[truth_id] = self._frame
        self._last_match.update(matches)
        self._known.update(matches.values())
        self._frame += 1

    def counts(self) -> RevivalCounts:
        """Return the outcomes so far; who still waits for a match counts as missed."""
        return RevivalCounts(
            num_right=self._outcomes["right"],
            num_wrong=self._outcomes["wrong"],
            num_new=self._outcomes["new"],
            num_missed=self._outcomes["missed"] + len(self._waiting),
        )

    def _await_return(self, truth_id: int) -> None:
        absence = self._frame - self._last_visible.get(truth_id, self._frame) - 1
        if truth_id in self._last_match and absence >= self._min_absence:
            self._outcomes["missed"] += truth_id in self._waiting
            self._waiting[truth_id] = 0

    def _judge(self, truth_id: int, predicted_id: int | None) -> None:
        self._waiting[truth_id] += 1
        if predicted_id is not None:
            right = predicted_id == self._last_match[truth_id]
            outcome = "right" if right else "wrong" if predicted_id in self._known else "new"
        elif self._waiting[truth_id] >= self._max_wait:
            outcome = "missed"
        else:
            return
        self._outcomes[outcome] += 1
        del self._waiting[truth_id]


def pooled_revivals(counts: Sequence[RevivalCounts]) -> RevivalCounts:
    """Return the outcomes of several scenes together."""
    return RevivalCounts(
        num_right=sum(scene.num_right for scene in counts),
        num_wrong=sum(scene.num_wrong for scene in counts),
        num_new=sum(scene.num_new for scene in counts),
        num_missed=sum(scene.num_missed for scene in counts),
    )
