"""The node: declares parameters, goes through the states of a lifecycle, and says what has become of the frames."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from autoseg3d_ros import device_memory
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.ros import parameters
from autoseg3d_ros.ros.diagnostics import Diagnostics
from autoseg3d_ros.ros.fastdds import allow_large_messages
from autoseg3d_ros.ros.log_forwarding import RosLogHandler
from autoseg3d_ros.ros.pipeline import POLL_S, Pipeline
from autoseg3d_ros.ros.services import Services
from autoseg3d_ros.ros.stop_signals import StopSignals

_WATCH_S = 1.0
_NUM_THREADS = 4  # transitions, parameters and messages; saving; the other services; diagnostics

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmenterNode(LifecycleNode):
    """Posed RGB-D images in, persistent instances out."""

    def __init__(self, request_stop: Callable[[], None]) -> None:
        """Declare the parameters; unconfigured. Raises ConfigError for a parameter that cannot be used."""
        super().__init__("segmenter_node", automatically_declare_parameters_from_overrides=True)
        self._log_handler = RosLogHandler(self.get_logger())
        self._log_handler.attach()
        self.config = parameters.declare(self)
        self.pipeline: Pipeline | None = None
        self._request_stop = request_stop
        parameters.watch(self, self.config, self._change, is_fixed=lambda: self.pipeline is not None)
        _answer_impossible_transitions(self)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # with simulated time these go on
        self.create_timer(POLL_S, self._hand_over, clock=steady)
        self.create_timer(_WATCH_S, self._report_silence, clock=steady)
        Services(self, lambda: self.pipeline)
        Diagnostics(self, lambda: self.pipeline)

    def autostart(self) -> bool:
        """Configure and activate; return whether both went well, the reason is logged."""
        return self.trigger_configure() == _SUCCESS and self.trigger_activate() == _SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load, build and warm up; where that fails the reason is logged, and it can be tried again."""

        def build() -> None:
            self.pipeline = Pipeline(self, self.config, self._request_stop)
            gc.collect()
            gc.freeze()  # libraries and weights stay: collections look at the objects of frames alone, and are short

        return self._attempt("configure", build)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and take frames; where that fails the node stays inactive, and it can be tried again."""

        def begin() -> None:
            self._configured().activate()
            self.get_logger().info(f"waiting for {', '.join(self._configured().topics())}")

        return self._attempt("activate", begin)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the frame in hand, keep map and ids, and free the device."""
        self._configured().deactivate()
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop everything, the map too."""
        self._drop()
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End, from every state."""
        self._drop()
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop what is left after a transition that raised: the node is then unconfigured, and can be configured."""
        self.get_logger().error(f"a transition from {state.label} failed: the node is unconfigured now")
        try:
            self._drop()
        except Exception as error:
            self.pipeline = None
            self.get_logger().error(f"{type(error).__name__}: {error}")
        return _SUCCESS

    def close(self) -> None:
        """Finish the frame in hand, publish the last state, save the map where that is wanted, and leave ROS."""
        if self.pipeline is not None:
            self.trigger_shutdown()
        self._log_handler.detach()
        self.destroy_node()

    def _configured(self) -> Pipeline:
        assert self.pipeline is not None, "the states of a lifecycle node have this order"
        return self.pipeline

    def _attempt(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            action()
        except Exception as error:  # of a model, a library, a driver: any
            kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
            self.get_logger().error(f"{name} failed: {kind}{error}")
            return _FAILURE
        return _SUCCESS

    def _drop(self) -> None:
        pipeline, self.pipeline = self.pipeline, None
        if pipeline is not None:
            pipeline.close()
            self.get_logger().info(pipeline.totals())
            del pipeline
            gc.unfreeze()
            gc.collect()  # the network goes now, not some time
            device_memory.release_cached_memory()

    def _change(self, config: Config) -> None:
        self.config = config
        if self.pipeline is not None:
            self.pipeline.configure(config)

    def _hand_over(self) -> None:
        if self.pipeline is not None:
            self.pipeline.hand_over()

    def _report_silence(self) -> None:
        line = None if self.pipeline is None else self.pipeline.check_silence(time.monotonic())
        if line:
            self.get_logger().warning(line)


def _answer_impossible_transitions(node: LifecycleNode) -> None:
    """Answer with `success: false` to a transition that the present state does not have: rclpy raises, which would end
    the node.
    """
    service = node._service_change_state
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # RCLError
            node.get_logger().error(f"change_state: {error}")
            response.success = False
            return response

    service.callback = answer


class _Executor(MultiThreadedExecutor):
    """Ends its callbacks before what they use is destroyed."""

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Begin nothing more, and wait for what has begun."""
        self._executor.shutdown(wait=True)  # before the guards that they wait on are destroyed
        return bool(super().shutdown(timeout_sec))


def main() -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    stop = threading.Event()
    allow_large_messages()
    with StopSignals(stop):
        try:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            node = SegmenterNode(stop.set)
        except (ConfigError, RuntimeError) as error:  # RuntimeError: what rcl finds wrong with arguments and files
            print(f"segmenter_node: {error}", file=sys.stderr)
            return 1
        executor = _Executor(_NUM_THREADS)
        executor.add_node(node)
        try:
            if node.config.autostart and not node.autostart():
                return 1
            while not stop.is_set():
                executor.spin_once(timeout_sec=POLL_S)
        finally:
            executor.shutdown()
            node.close()
            rclpy.shutdown()
    return 0
