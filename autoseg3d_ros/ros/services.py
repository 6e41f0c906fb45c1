"""The services of the node. Each is answered within a bounded time; what touches the map is done between two frames."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.ros import conversions, map_query
from autoseg3d_ros.ros.map_query import Query, Region
from autoseg3d_ros.ros.pipeline import Pipeline
from autoseg3d_ros.ros.requests import NoAnswerError
from autoseg3d_ros.ros.transforms import Transforms, UnknownFrameError, composed
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.srv import GetInstances, LoadMap, SaveMap
from autoseg3d_ros.structures import FrameError

logger = logging.getLogger(__name__)

_SAVE_RESULT: dict[MapFault | None, int] = {
    MapFault.INVALID_PATH: SaveMap.Response.ERROR_INVALID_PATH,
    MapFault.EXISTS: SaveMap.Response.ERROR_EXISTS,
    MapFault.WRITE: SaveMap.Response.ERROR_WRITE,
}
_LOAD_RESULT: dict[MapFault | None, int] = {
    MapFault.NOT_FOUND: LoadMap.Response.ERROR_NOT_FOUND,
    MapFault.INVALID_PATH: LoadMap.Response.ERROR_NOT_FOUND,
    MapFault.INVALID_FILE: LoadMap.Response.ERROR_INVALID_FILE,
    MapFault.INCOMPATIBLE: LoadMap.Response.ERROR_INCOMPATIBLE,
}


class NotConfiguredError(Exception):
    """There is no map: the node is unconfigured."""


class Services:
    """Created once; they answer in every state. Saving waits for the disk, so it has a callback group of its own."""

    def __init__(self, node: Node, pipeline: Callable[[], Pipeline | None]) -> None:
        self._pipeline_now = pipeline
        self._transforms = Transforms(node)
        group, saving = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        for kind, name, answer, of_failure, where in (
            (Trigger, "reset", self._reset, _failed_switch, group),
            (SetBool, "pause", self._pause, _failed_switch, group),
            (LoadMap, "load_map", self._load, _failed_load, group),
            (GetInstances, "get_instances", self._get_instances, _failed_query, group),
            (SaveMap, "save_map", self._save, _failed_save, saving),
        ):
            guarded = partial(_guarded, name, answer, of_failure)
            node.create_service(kind, f"~/{name}", guarded, callback_group=where)

    def _reset(self, _request: Any, response: Any) -> None:
        pipeline = self._pipeline()
        pipeline.worker.replace_map(OnlineSegmenter.reset)
        response.success, response.message = True, "a new map has begun"

    def _pause(self, request: Any, response: Any) -> None:
        worker = self._pipeline().worker
        was_paused, worker.is_paused = worker.is_paused, request.data
        response.success = True
        response.message = {
            (False, True): "paused: frames are dropped, map and ids stay",
            (True, True): "was paused already",
            (True, False): "goes on",
            (False, False): "was not paused",
        }[was_paused, request.data]

    def _save(self, request: Any, response: Any) -> None:
        pipeline = self._pipeline()
        saved = pipeline.maps.save(pipeline.worker, request.path, overwrite=request.overwrite)
        response.path, response.num_instances = str(saved.path), saved.num_instances
        response.message = f"saved {saved.num_instances} instances"

    def _load(self, request: Any, response: Any) -> None:
        pipeline = self._pipeline()
        try:
            pipeline.maps.load(pipeline.worker, request.path)
            response.message = "the map of the file is in place"
        except MapFileError:
            _tell_map(response, pipeline)
            raise
        _tell_map(response, pipeline)

    def _get_instances(self, request: Any, response: Any) -> None:
        pipeline = self._pipeline()
        worker, map_frame = pipeline.worker, pipeline.config.map_frame
        query = Query(set(request.ids), set(request.states), self._region(request, map_frame))

        def look(segmenter: OnlineSegmenter) -> None:
            found = query.chosen(segmenter.instances())
            head = conversions.header(worker.last_stamp_ns, map_frame)
            index = max(segmenter.state.frame_index - 1, 0)
            response.instances = conversions.instance_array_msg(
                head, segmenter.state.map_id, index, found, is_full=query.is_everything
            )
            if request.include_clouds:
                points = segmenter.map_points()
                response.clouds = [
                    conversions.cloud_msg(
                        head, points.xyz_m[rows], points.rgb[rows], points.instance_id[rows], points.score[rows]
                    )
                    for rows in map_query.rows_of(found, points.instance_id)
                ]
            features = map_query.features_of(segmenter, found) if request.include_features else None
            if features is not None:
                response.feature_size, response.features = features.shape[1], features.ravel().tolist()
            elif request.include_features:
                response.result = GetInstances.Response.ERROR_NO_FEATURES
                response.message = "features: the map is made by geometry alone; set model.name to a network"

        worker.ask(look)

    def _region(self, request: Any, map_frame: str) -> Region | None:
        if not request.use_region:
            return None
        size = request.region_size
        map_from_frame = self._transforms.map_from(request.region_header, map_frame)
        return Region(composed(map_from_frame, conversions.pose(request.region_pose)), (size.x, size.y, size.z))

    def _pipeline(self) -> Pipeline:
        pipeline = self._pipeline_now()
        if pipeline is None:
            raise NotConfiguredError("the node is unconfigured and has no map; configure it first")
        return pipeline


def _guarded(
    name: str,
    answer: Callable[[Any, Any], None],
    of_failure: Callable[[Any, Exception], None],
    request: Any,
    response: Any,
) -> Any:
    """Answer, whatever happens: an exception would end the node."""
    try:
        answer(request, response)
    except (MapFileError, NoAnswerError, NotConfiguredError, UnknownFrameError, FrameError) as error:
        response.message = str(error)
        of_failure(response, error)
    except Exception as error:
        logger.exception("~/%s: %s", name, type(error).__name__)
        response.message = f"{type(error).__name__}: {error}; the log of the node has more"
        of_failure(response, error)
    return response


def _failed_switch(response: Any, _error: Exception) -> None:
    response.success = False


def _failed_save(response: Any, error: Exception) -> None:
    response.result = _SAVE_RESULT.get(_fault(error), SaveMap.Response.ERROR_NOT_READY)


def _failed_load(response: Any, error: Exception) -> None:
    response.result = _LOAD_RESULT.get(_fault(error), LoadMap.Response.ERROR_NOT_READY)


def _failed_query(response: Any, error: Exception) -> None:
    codes = GetInstances.Response
    is_of_region = isinstance(error, UnknownFrameError | FrameError)
    response.result = codes.ERROR_UNKNOWN_FRAME if is_of_region else codes.ERROR_NOT_READY


def _fault(error: Exception) -> MapFault | None:
    return error.reason if isinstance(error, MapFileError) else None


def _tell_map(response: Any, pipeline: Pipeline) -> None:
    """Say in the answer which map is in memory."""

    def look(segmenter: OnlineSegmenter) -> None:
        response.map_id = conversions.map_id_msg(segmenter.state.map_id)
        response.num_instances = len(segmenter.state.tracks.occupied())

    pipeline.worker.ask(look)
