"""The loop of `autoseg3d run`: read, step, write, frame by frame, and the summaries at whatever end comes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Protocol

from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.recognition import Percept
from autoseg3d_ros.reporting.draw_run import SheetSampler, plan_of_confirmed
from autoseg3d_ros.reporting.run_folder import OVERLAY, TOPDOWN, RunWriter
from autoseg3d_ros.reporting.timing import RunTiming
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import Frame, FrameError, InstanceState, SegmentedFrame


class Observer(Protocol):
    """Is shown every processed frame."""

    def add(self, segmented: SegmentedFrame) -> None:
        """Take note of one frame."""
        ...


class OfflineRun:
    """One pass of a segmenter over a source."""

    def __init__(
        self, source: FrameSource, segmenter: OnlineSegmenter, writer: RunWriter, observers: Sequence[Observer] = ()
    ) -> None:
        self.timing = RunTiming()
        self.seconds = 0.0
        self._source = source
        self._segmenter = segmenter
        self._writer = writer
        self._observers = observers
        self._sampler = SheetSampler(len(source))

    def process(self, interruption: Interruption) -> None:
        """Step through the frames until their end or an interruption; summaries are written after an exception too."""
        started_s = time.perf_counter()
        try:
            self._step_through(interruption)
        finally:
            self.seconds = time.perf_counter() - started_s
            self._write_summaries()

    def _step_through(self, interruption: Interruption) -> None:
        # Three frames are in hand at a time: one is read, one perceived, one remembered.
        percepts = prefetched(self._perceived(prefetched(self._source.frames())))
        with closing(percepts):
            frame_end_s = time.perf_counter()
            for number, percept in enumerate(with_progress(percepts, len(self._source))):
                if isinstance(percept, FrameError):
                    self.timing.skip(str(percept))
                    self._writer.add_skipped(number, str(percept))
                else:
                    self._remember(number, percept, waited_s=time.perf_counter() - frame_end_s)
                frame_end_s = time.perf_counter()
                if interruption:
                    break

    def _perceived(self, items: Generator[Frame | FrameError, None, None]) -> Iterator[Percept | FrameError]:
        with closing(items):
            for item in items:
                try:
                    yield item if isinstance(item, FrameError) else self._segmenter.perceive(item)
                except FrameError as error:
                    yield error

    def _remember(self, number: int, percept: Percept, waited_s: float) -> None:
        started_s = time.perf_counter()
        if percept.masks.makeshift:
            self.timing.add_makeshift(percept.masks.makeshift)
        segmented = self._segmenter.remember(percept)
        write_from_s = time.perf_counter()
        frame = segmented.frame
        self._writer.add_frame(number, frame.stamp_ns, segmented.label_image, segmented.events, frame.name)
        self._sampler.offer(number, frame, segmented.label_image)
        for observer in self._observers:
            observer.add(segmented)
        end_s = time.perf_counter()
        stage_ms = {**segmented.stage_ms, "write": (end_s - write_from_s) * 1e3}
        self.timing.add_frame(stage_ms, (end_s - started_s + waited_s) * 1e3, len(self._segmenter.state.map))

    def _write_summaries(self) -> None:
        points, instances = self._segmenter.map_points(), self._segmenter.instances()
        tentative = [one.id for one in instances if one.state == InstanceState.TENTATIVE]
        plan = plan_of_confirmed(points.xyz_m, points.instance_id, tentative, self._source.name)
        self._writer.write_instances(instances)
        self._writer.write_map(points.xyz_m, points.rgb, points.instance_id)
        self._writer.write_timing(self.timing.report(self.seconds))
        self._writer.write_picture(OVERLAY, self._sampler.sheet())
        self._writer.write_picture(TOPDOWN, plan)
