"""The codes of the services: each failure has one, and none of them ends the node."""

from __future__ import annotations

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.ros import services
from autoseg3d_ros.ros.requests import NoAnswerError
from autoseg3d_ros.ros.services import NotConfiguredError
from autoseg3d_ros.ros.transforms import UnknownFrameError
from autoseg3d_ros.srv import GetInstances, LoadMap, SaveMap
from autoseg3d_ros.structures import FrameError

SAVE, LOAD, QUERY = SaveMap.Response, LoadMap.Response, GetInstances.Response
OF_FAILURE = {SaveMap: services._failed_save, LoadMap: services._failed_load, GetInstances: services._failed_query}


def answer_to(kind: type, error: Exception):
    def fail(_request, _response):
        raise error

    return services._guarded("name", fail, OF_FAILURE[kind], kind.Request(), kind.Response())


@pytest.mark.parametrize(
    ("kind", "fault", "code"),
    [
        (SaveMap, MapFault.INVALID_PATH, SAVE.ERROR_INVALID_PATH),
        (SaveMap, MapFault.EXISTS, SAVE.ERROR_EXISTS),
        (SaveMap, MapFault.WRITE, SAVE.ERROR_WRITE),
        (LoadMap, MapFault.NOT_FOUND, LOAD.ERROR_NOT_FOUND),
        (LoadMap, MapFault.INVALID_PATH, LOAD.ERROR_NOT_FOUND),
        (LoadMap, MapFault.INVALID_FILE, LOAD.ERROR_INVALID_FILE),
        (LoadMap, MapFault.INCOMPATIBLE, LOAD.ERROR_INCOMPATIBLE),
    ],
)
def test_what_is_wrong_with_a_file(kind, fault, code):
    answer = answer_to(kind, MapFileError(fault, "what and how to mend it"))
    assert (answer.result, answer.message) == (code, "what and how to mend it")


@pytest.mark.parametrize("kind", OF_FAILURE)
@pytest.mark.parametrize("error", [NotConfiguredError("configure it"), NoAnswerError("try again")])
def test_a_node_that_is_not_ready(kind, error):
    answer = answer_to(kind, error)
    assert (answer.result, answer.message) == (kind.Response.ERROR_NOT_READY, str(error))


@pytest.mark.parametrize("error", [UnknownFrameError("arm"), FrameError("no unit quaternion")])
def test_a_region_that_is_nowhere(error):
    assert answer_to(GetInstances, error).result == QUERY.ERROR_UNKNOWN_FRAME


@pytest.mark.parametrize("kind", OF_FAILURE)
def test_what_nobody_thought_of_is_no_success(kind):
    answer = answer_to(kind, ZeroDivisionError("x"))
    assert answer.result == kind.Response.ERROR_NOT_READY
    assert answer.message == "ZeroDivisionError: x; the log of the node has more"
