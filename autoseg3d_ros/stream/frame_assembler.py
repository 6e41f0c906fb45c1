"""From messages to frames: pairs colour with depth, waits for the pose, decodes last of all."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from autoseg3d_ros.config import Config
from autoseg3d_ros.stream.drops import DropCounts, DropReason, RefusedPairError
from autoseg3d_ros.stream.pose_buffer import PoseBuffer, PoseMiss, PoseMissReason
from autoseg3d_ros.stream.posed_pair import Decode, PosedPair, seconds
from autoseg3d_ros.stream.rectification import Calibration, Rectifier
from autoseg3d_ros.stream.registration import Registration
from autoseg3d_ros.stream.synchronizer import Pair, RgbdSynchronizer, Synchronizer, SyncStats
from autoseg3d_ros.stream.time_jump import JumpDetector, StampVerdict
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError, RigidPose

logger = logging.getLogger(__name__)

_REASON_OF_MISS = {
    PoseMissReason.EMPTY: DropReason.POSE_TIMEOUT,
    PoseMissReason.NOT_YET: DropReason.POSE_TIMEOUT,
    PoseMissReason.GAP: DropReason.POSE_GAP,
    PoseMissReason.TOO_OLD: DropReason.POSE_TOO_OLD,
    PoseMissReason.JUMP: DropReason.POSE_JUMP,
}


@dataclass(frozen=True)
class AssemblerStats:
    """What the assembler has seen, for diagnostics."""

    sync: SyncStats
    drops: dict[DropReason, int]  # of pairs, and of images from before a jump in time
    num_held: int
    num_poses: int
    epoch: int


@dataclass(frozen=True)
class _Arrival:
    decode: Decode
    now_ns: int
    frame_id: str


@dataclass(frozen=True)
class _Held:
    pair: Pair[_Arrival, _Arrival]
    paired_ns: int


class FrameAssembler:
    """Joins camera, poses, colour and depth, in whatever order they arrive.

    The `add_…` methods belong into callbacks: cheap, safe from any thread, and they do not raise. After each of them,
    and now and then for the time-outs, `poll` hands over the pairs that are complete; `assemble` decodes one, in the
    thread that works on it. `now_ns` is any clock that runs forward, always the same one; none is read in here.
    """

    def __init__(self, config: Config) -> None:
        self._timeout_ns = round(config.pose.timeout_s * 1e9)
        self._capacity = config.process.queue_size
        self._config = config.pose
        self._registers = config.depth.register == "auto"
        self._lock = threading.Lock()
        self._synchronizer: Synchronizer[_Arrival, _Arrival] = RgbdSynchronizer(config.sync)
        self._poses = PoseBuffer(config.pose.buffer_s, config.pose.max_gap_s, config.pose.max_speed_mps)
        self._jumps = JumpDetector()
        self._held: deque[_Held] = deque()
        self._calibration: Calibration | None = None
        self._depth_calibration: Calibration | None = None
        self._rectifier: Rectifier | None = None
        self._registration: Registration | None = None
        self._told_of_jump = False
        self._epoch = 0
        self._drops = DropCounts()

    @property
    def epoch(self) -> int:
        """How often the stamps have jumped back."""
        return self._epoch

    def use_synchronizer(self, synchronizer: Synchronizer) -> None:
        """Pair images with another engine than the built-in one; before the first of them comes."""
        self._synchronizer = synchronizer

    def add_camera(self, camera: CameraIntrinsics, distortion: tuple[float, ...] = (), model: str = "") -> None:
        """Set the camera of the colour images, and of depth without one of its own; the same again costs nothing."""
        with self._lock:
            if (calibration := Calibration(camera, distortion, model)) != self._calibration:
                self._calibration = calibration
                self._set_up_cameras()

    def add_depth_camera(self, camera: CameraIntrinsics, distortion: tuple[float, ...] = (), model: str = "") -> None:
        """Set the camera of the depth images; the same one again costs nothing."""
        with self._lock:
            if (calibration := Calibration(camera, distortion, model)) != self._depth_calibration:
                self._depth_calibration = calibration
                self._set_up_cameras()

    def add_pose(self, stamp_ns: int, pose: RigidPose) -> None:
        """Take in `world_from_camera` at `stamp_ns`."""
        with self._lock:
            if self._is_current("pose", stamp_ns):
                self._poses.add(stamp_ns, pose)
                self._tell_of_jump(stamp_ns)

    def add_colour(self, stamp_ns: int, decode: Decode, now_ns: int, frame_id: str = "") -> None:
        """Take in a colour image; `decode` returns (H, W, 3) uint8 RGB or raises FrameError."""
        self._add_image("colour", stamp_ns, _Arrival(decode, now_ns, frame_id))

    def add_depth(self, stamp_ns: int, decode: Decode, now_ns: int, frame_id: str = "") -> None:
        """Take in a depth image; `decode` returns (H, W) float32 metres, 0 = invalid, or raises FrameError."""
        self._add_image("depth", stamp_ns, _Arrival(decode, now_ns, frame_id))

    def poll(self, now_ns: int) -> list[PosedPair]:
        """Return the pairs whose pose is known, in the order of their stamps; drop those that waited too long.

        A pair waits at most `pose.timeout_s` for a pose not older than its depth image and for the first camera. Call
        from one thread or callback group only, or the order is lost on the way to the mailbox.
        """
        ready = []
        with self._lock:
            while self._held:
                held = self._held[0]
                pose = self._poses.lookup(held.pair.depth_stamp_ns)
                if self._may_still_come(pose) and now_ns - held.paired_ns < self._timeout_ns:
                    break
                self._held.popleft()
                if isinstance(pose, PoseMiss):
                    self.report(_REASON_OF_MISS[pose.reason], self._explain(held.pair, pose))
                elif self._rectifier is None:
                    self.report(
                        DropReason.NO_CAMERA_INFO,
                        f"frame {seconds(held.pair.colour_stamp_ns)}: expected camera intrinsics, none came yet; "
                        "is the camera_info topic published, and under this name?",
                    )
                else:
                    ready.append(self._posed(held, pose, self._rectifier, now_ns))
        return ready

    def assemble(self, pair: PosedPair) -> Frame | None:
        """Decode, check and rectify; None, counted and logged once of its kind, where that gives no frame."""
        try:
            return pair.frame()
        except RefusedPairError as refusal:
            self.report(refusal.reason, str(refusal))
        except FrameError as error:
            self.report(DropReason.UNDECODABLE, str(error))
        return None

    def report(self, reason: DropReason, message: str) -> None:
        """Count something that cannot be used, and log it if it is the first of its kind."""
        if self._drops.add(reason) == 1:
            logger.warning("%s (said once; counted as %s)", message, reason.value)

    def stats(self) -> AssemblerStats:
        """Return counts and measured offsets."""
        with self._lock:
            return AssemblerStats(
                sync=self._synchronizer.stats(),
                drops=self._drops.by_reason(),
                num_held=len(self._held),
                num_poses=len(self._poses),
                epoch=self._epoch,
            )

    def _set_up_cameras(self) -> None:
        self._rectifier = self._registration = None
        if self._calibration is None:
            return
        try:
            self._rectifier = Rectifier(*self._calibration)
            self._registration = Registration(self._rectifier, self._depth_calibration, register=self._registers)
        except FrameError as error:
            self.report(DropReason.BAD_CAMERA_INFO, str(error))

    def _tell_of_jump(self, stamp_ns: int) -> None:
        if (step_m := self._poses.newest_jump_m()) and not self._told_of_jump:
            self._told_of_jump = True
            logger.warning(
                "the pose at %s is %.1f m from the one before, faster than pose.max_speed_mps = %g allows: it jumped; "
                "what was mapped before keeps its place (said once)",
                seconds(stamp_ns),
                step_m,
                self._config.max_speed_mps,
            )

    def _add_image(self, topic: str, stamp_ns: int, arrival: _Arrival) -> None:
        with self._lock:
            if not self._is_current(topic, stamp_ns):
                self._drops.add(DropReason.TIME_JUMP)
                return
            add = self._synchronizer.add_depth if topic == "depth" else self._synchronizer.add_colour
            self._held.extend(_Held(pair, arrival.now_ns) for pair in add(stamp_ns, arrival))
            while len(self._held) > self._capacity:
                self._held.popleft()
                self._drops.add(DropReason.QUEUE_FULL)

    def _is_current(self, topic: str, stamp_ns: int) -> bool:
        """Judge a stamp, and start afresh at the first one that jumped back."""
        verdict = self._jumps.observe(topic, stamp_ns)
        if verdict is StampVerdict.JUMPED:
            logger.warning("stamps jumped back to %s, first on %s: what waited is dropped", seconds(stamp_ns), topic)
            self._epoch += 1
            self._drops.add(DropReason.TIME_JUMP, len(self._held))
            self._held.clear()
            self._synchronizer.clear()
            self._poses.clear()
        return verdict is not StampVerdict.STALE

    def _may_still_come(self, pose: RigidPose | PoseMiss) -> bool:
        if isinstance(pose, PoseMiss):
            return pose.reason in (PoseMissReason.EMPTY, PoseMissReason.NOT_YET)
        return self._rectifier is None

    def _posed(self, held: _Held, pose: RigidPose, rectifier: Rectifier, now_ns: int) -> PosedPair:
        pair = held.pair
        return PosedPair(
            colour_stamp_ns=pair.colour_stamp_ns,
            depth_stamp_ns=pair.depth_stamp_ns,
            decode_colour=pair.colour.decode,
            decode_depth=pair.depth.decode,
            pose=pose,
            rectifier=rectifier,
            epoch=self._epoch,
            sync_wait_ns=held.paired_ns - min(pair.colour.now_ns, pair.depth.now_ns),
            pose_wait_ns=now_ns - held.paired_ns,
            registration=self._registration,
            colour_frame=pair.colour.frame_id,
            depth_frame=pair.depth.frame_id,
            received_ns=min(pair.colour.now_ns, pair.depth.now_ns),
        )

    def _explain(self, pair: Pair, miss: PoseMiss) -> str:
        where, gap_s = f"frame {seconds(pair.colour_stamp_ns)}", miss.gap_ns / 1e9
        if miss.reason is PoseMissReason.GAP:
            return (
                f"{where}: expected poses at most pose.max_gap_s = {self._config.max_gap_s:g} s apart, "
                f"got {gap_s:.3f} s; publish poses more often or raise the setting"
            )
        if miss.reason is PoseMissReason.JUMP:
            return (
                f"{where}: expected poses no faster than pose.max_speed_mps = {self._config.max_speed_mps:g} m/s, "
                f"got two {miss.step_m:.2f} m apart within {gap_s:.3f} s: the pose jumped while the image was taken"
            )
        if miss.reason is PoseMissReason.TOO_OLD:
            return (
                f"{where}: expected a pose before its depth image, the oldest one kept is {gap_s:.3f} s newer; "
                "frames before the first pose are lost, and so are those older than pose.buffer_s"
            )
        got = "no pose at all" if miss.reason is PoseMissReason.EMPTY else f"the newest is {gap_s:.3f} s older"
        return (
            f"{where}: expected a pose not older than its depth image within pose.timeout_s = "
            f"{self._config.timeout_s:g} s, got {got}; is the pose topic published, and by the same clock?"
        )
