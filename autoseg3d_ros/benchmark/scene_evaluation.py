"""One scene through the segmenter, or one finished run, and everything that is counted on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.frame_scores import FrameScores
from autoseg3d_ros.benchmark.labelled_points import FinalInstance, LabelledPoints, VertexLabels, top_instances
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import MASKS, MESH_FILE, SceneFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.evaluation.average_precision import SceneMatches, match_scene
from autoseg3d_ros.evaluation.mesh_transfer import segment_vote
from autoseg3d_ros.recognition import Percept
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import NO_INSTANCE, EventType, Frame, FrameError, InstanceState, Masks2D


def evaluate_scene(
    scene: SceneFolder, config: Config, protocol: Protocol, stopped: Callable[[], bool] = lambda: False
) -> SceneOutcome | None:
    """Segment a scene with the poses that the robot believes, and score it by the exact ones.

    `stopped` is asked between two frames; None = it said yes.
    Raises SourceError where the scene is damaged, ids do not fit or no frame can be used, FrameError where an exact
    pose is damaged.
    """
    scorer = SceneScorer(protocol, scene)
    segmenter = build_segmenter(_with_masks_of(scene, config))
    stage_ms: Counter[str] = Counter()
    heirs: dict[int, int] = {}
    for item in islice(scene.source().frames(), 0, None, protocol.frame_stride):
        if stopped():
            return None
        percept = _perceived(segmenter, item)
        if isinstance(percept, FrameError):
            scorer.skip(str(percept))
            continue
        segmented = segmenter.remember(percept)
        scorer.add(segmented.frame, segmented.label_image, percept.masks)
        stage_ms.update(segmented.stage_ms)
        heirs |= {one.instance_id: one.other_id for one in segmented.events if one.type == EventType.MERGED}
    instances = [
        FinalInstance(one.id, one.state != InstanceState.TENTATIVE, one.score, one.num_observations)
        for one in segmenter.instances()
    ]
    return scorer.outcome(instances, heirs, stage_ms)


class SceneScorer:
    """Collects the scores of one scene frame by frame, whoever labelled the frames."""

    def __init__(self, protocol: Protocol, scene: SceneFolder | None) -> None:
        """Without a scene there is no mesh, and so no AP.

        Raises SourceError where the mesh is missing or damaged, or has ids that `scene.json` does not list.
        """
        self._protocol = protocol
        self._scene = scene
        self._frames = FrameScores(protocol.min_truth_px)
        self._points = LabelledPoints(protocol)
        self._num_frames = self._num_skipped = 0
        self._first_skipped = ""
        if scene is not None:
            self._known_ids = np.array([NO_INSTANCE, *(one.id for one in scene.info.instances)])
            self._expect_known(scene.mesh.instance_id, scene.path / MESH_FILE)

    def skip(self, message: str) -> None:
        """Count a frame that could not be used."""
        self._first_skipped = self._first_skipped or message
        self._num_skipped += 1

    def add(self, frame: Frame, label_image: np.ndarray, masks: Masks2D | None = None) -> None:
        """Count a frame by its label image (H, W) int32 and the 2D masks it came from, where they are at hand.

        Raises SourceError where the frame's truth has ids that `scene.json` does not list, and FrameError where its
        exact pose is damaged.
        """
        if self._scene is not None:
            if frame.truth is not None:
                self._expect_known(frame.truth, self._scene.path / "instance" / f"{frame.name}.png")
            self._points.add(frame, label_image, self._scene.true_pose(frame.name).matrix)
        self._frames.add(frame, label_image, masks)
        self._num_frames += 1

    def outcome(
        self, instances: Iterable[FinalInstance], heirs: Mapping[int, int], stage_ms: Mapping[str, float]
    ) -> SceneOutcome:
        """Return the scores of all frames so far.

        Args:
            instances: all that are in memory after the last frame.
            heirs: of every id that was merged into another one, which.
            stage_ms: summed milliseconds of the segmenter's stages.

        Raises SourceError where there was no usable frame.
        """
        if not self._num_frames:
            reason = self._first_skipped or "there is none"
            where = self._scene.path if self._scene else "source"
            raise SourceError(f"{where}: none of {self._num_skipped} frames could be used; the first: {reason}")
        counted = top_instances(instances, self._protocol.top_instances)
        matches, near_matches = self._matches(counted, heirs)
        return SceneOutcome(
            num_frames=self._num_frames,
            num_skipped=self._num_skipped,
            first_skipped=self._first_skipped,
            num_instances=len(counted),
            matches=matches,
            near_matches=near_matches,
            frames=self._frames.counts(),
            stage_ms=dict(stage_ms),
        )

    def _matches(
        self, counted: list[FinalInstance], heirs: Mapping[int, int]
    ) -> tuple[SceneMatches | None, SceneMatches | None]:
        if self._scene is None:
            return None, None
        labels = self._points.on_vertices(self._scene.mesh.vertices_m, heirs)
        return (
            self._match(self._scene, labels, counted, np.inf),
            self._match(self._scene, labels, counted, self._protocol.distance_cut_m),
        )

    def _match(
        self, scene: SceneFolder, labels: VertexLabels, counted: list[FinalInstance], max_distance_m: float
    ) -> SceneMatches:
        ids = np.array([one.id for one in counted], np.int32)
        score = np.array([one.score for one in counted], np.float32)
        masks = segment_vote(labels.masks(ids, max_distance_m), scene.mesh.segment_id)
        return match_scene(scene.mesh.instance_id, masks, score, min_region=self._protocol.min_vertices)

    def _expect_known(self, ids: np.ndarray, file: Path) -> None:
        unknown = np.setdiff1d(ids, self._known_ids)
        if len(unknown):
            raise SourceError(
                f"{file}: expected ids that scene.json lists, got {', '.join(map(str, unknown[:5].tolist()))}"
                f"{' ...' if len(unknown) > 5 else ''}; write the scene again"
            )


def _with_masks_of(scene: SceneFolder, config: Config) -> Config:
    """Return the configuration with the folder of this scene's computed masks: beside its frames, or by its name."""
    if config.masks.source != "file":
        return config
    folder = Path(config.masks.directory) / scene.name if config.masks.directory else scene.path / MASKS
    return configuration.replace(config, {"masks.directory": str(folder)})


def _perceived(segmenter: OnlineSegmenter, item: Frame | FrameError) -> Percept | FrameError:
    try:
        return item if isinstance(item, FrameError) else segmenter.perceive(item)
    except FrameError as error:
        return error
