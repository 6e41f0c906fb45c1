"""`/diagnostics`: once a second, how the node is."""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from autoseg3d_ros.device_memory import device_memory
from autoseg3d_ros.ros import health
from autoseg3d_ros.ros.frame_statistics import CountRates
from autoseg3d_ros.ros.health import Check, Fill, Saves, Vitals
from autoseg3d_ros.ros.pipeline import Pipeline

_PERIOD_S = 1.0


class Diagnostics:
    """Publishes in every state of the node, by a callback group of its own: also while a transition takes long."""

    def __init__(self, node: Node, pipeline: Callable[[], Pipeline | None]) -> None:
        self._node = node
        self._pipeline_now = pipeline
        self._received, self._unwanted = CountRates(), CountRates()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: with simulated time it goes on.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_PERIOD_S, self._publish, callback_group=MutuallyExclusiveCallbackGroup(), clock=clock)

    def _publish(self) -> None:
        try:
            pipeline = self._pipeline_now()
            found = (
                health.unconfigured() if pipeline is None else health.checks(self._vitals(pipeline, time.monotonic()))
            )
            message = DiagnosticArray(status=[_status(self._node, check) for check in found])
            message.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(message)
        except Exception as error:  # a transition may close what is being looked at
            self._node.get_logger().debug(f"diagnostics: {type(error).__name__}: {error}")

    def _vitals(self, pipeline: Pipeline, now_s: float) -> Vitals:
        counts, stats, worker, inputs = pipeline.counts(), pipeline.assembler_stats(), pipeline.worker, pipeline.inputs
        unwanted = {reason.value: count for reason, count in counts.drops.items()}
        unwanted |= {"failed": counts.num_failed, "out_of_memory": worker.num_out_of_memory}
        return Vitals(
            is_active=inputs is not None,
            counts=counts,
            received_hz=self._received.sample(counts.received, now_s),
            recent_hz=self._unwanted.sample(unwanted, now_s),
            frames=worker.statistics.summary(now_s),
            sync=stats.sync,
            slop_s=0.0 if pipeline.config.sync.mode == "exact" else pipeline.config.sync.slop_s,
            num_poses=stats.num_poses,
            num_time_jumps=stats.epoch,
            fills=_fills(pipeline),
            device=device_memory(),
            num_out_of_memory=worker.num_out_of_memory,
            saves=Saves(pipeline.maps.num_saved, pipeline.maps.num_failed),
            qos_mismatches={} if inputs is None else dict(inputs.qos_mismatches),
            silence=pipeline.silence,
        )


def _fills(pipeline: Pipeline) -> dict[str, Fill]:
    """Return how full map and tracks are; the worker goes on meanwhile, so they may be a frame apart."""
    state, limits = pipeline.worker.segmenter.state, pipeline.config.limits
    return {
        "voxels": Fill(len(state.map), limits.max_points),
        "instances": Fill(len(state.tracks.live()), limits.max_instances),
        "retired": Fill(len(state.tracks.retired()), limits.retired_capacity),
    }


def _status(node: Node, check: Check) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=bytes([check.level]),
        name=f"{node.get_fully_qualified_name().lstrip('/')}: {check.name}",
        hardware_id=node.get_fully_qualified_name(),
        message=check.summary,
        values=[KeyValue(key=key, value=value) for key, value in check.values.items()],
    )
