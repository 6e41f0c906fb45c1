"""docs/interfaces.md is what the code says, and what a running node says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.config import settings
from autoseg3d_ros.reporting import interface_page
from autoseg3d_ros.reporting.interface_page import COMMAND, InterfacePageError
from autoseg3d_ros.reporting.interface_topics import INPUTS, LATCHED, OUTPUTS, RELIABLE, SENSOR, SERVICES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "interfaces.md"
PARTS = ("topics", "services", "parameters", "launch", "messages", "requests")
OF_EVERY_NODE = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/")
EVERY_CLIENT_LIBRARY = {"/parameter_events", "/rosout", "/clock"}


def page_of(*parts: str, content: str = "") -> str:
    return "before\n" + "".join(f"<!-- generated: {part} -->\n{content}<!-- end -->\n" for part in parts) + "after\n"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == interface_page.renewed(PAGE.read_text(), ROOT), f"run `{COMMAND}`"
    assert COMMAND in PAGE.read_text()


@pytest.mark.parametrize("parts", [(), PARTS[1:], (*PARTS, "more"), (*PARTS, "topics")])
def test_a_page_with_other_parts_is_refused(parts):
    with pytest.raises(InterfacePageError, match="expected the generated parts"):
        interface_page.renewed(page_of(*parts), ROOT)


def test_the_prose_stays_and_what_was_generated_goes():
    page = interface_page.renewed(page_of(*PARTS, content="old\n"), ROOT)
    assert page.startswith("before\n") and page.endswith("after\n") and "old\n" not in page
    assert page == interface_page.renewed(page, ROOT)


def test_the_command_brings_a_page_up_to_date(tmp_path):
    for name in ("launch", "msg", "srv"):
        (tmp_path / name).symlink_to(ROOT / name)
    page = tmp_path / "docs" / "interfaces.md"
    page.parent.mkdir()
    page.write_text(page_of(*PARTS))
    assert main(["doctor", "--interface-page", str(page)]) == 0
    assert page.read_text() == interface_page.renewed(page_of(*PARTS), ROOT)


def test_every_setting_has_a_row():
    rows = interface_page.parameters().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [key for key, _leaf in settings()]
    assert all(row.count(" | ") == 4 for row in rows)


def test_every_launch_argument_has_a_row():
    source = 'ARGUMENTS = {"a": ("x|y", "one"), "b": (str(SHARE / "config" / "c.yaml"), "two")}'
    assert interface_page.launch_arguments(source).splitlines()[2:] == [
        "| `a` | x\\|y | one |",
        "| `b` | share/autoseg3d_ros/config/c.yaml | two |",
    ]


def test_every_definition_is_there():
    page = PAGE.read_text()
    files = [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]
    assert files and all(path.read_text().strip() in page for path in files)


@pytest.fixture(scope="module")
def node_info(tmp_path_factory):
    """What a running node publishes, subscribes to and serves: (publishers, subscriptions, services, qos)."""
    pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")
    import ros_harness

    with pytest.MonkeyPatch.context() as patch, ros_harness.reserved_domain() as domain:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        folder = tmp_path_factory.mktemp("node")
        parameters = ros_harness.parameters_file(folder, {"model.name": "none"})
        process = ros_harness.Process(
            "segmenter_node", ["--ros-args", "--params-file", str(parameters)], domain, folder
        )
        robot = ros_harness.Robot(domain)
        try:
            robot.connect()
            yield _info(robot)
        finally:
            robot.close()
            process.end()


def _info(robot) -> tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]:
    name, node = "segmenter_node", robot.node
    services = node.get_service_names_and_types_by_node(name, "/")
    publishers = dict(_single(node.get_publisher_names_and_types_by_node(name, "/")))
    qos = {}
    for topic in publishers:
        (info,) = [one for one in node.get_publishers_info_by_topic(topic) if one.node_name == name]
        qos[topic] = _named(info.qos_profile)
    subscriptions = dict(_single(node.get_subscriber_names_and_types_by_node(name, "/")))
    return publishers, subscriptions, dict(_single(services)), qos


def _named(profile) -> str:
    if profile.reliability.name != "RELIABLE":
        return SENSOR
    return LATCHED if profile.durability.name == "TRANSIENT_LOCAL" else RELIABLE


def _single(names_and_types):
    for name, types in names_and_types:
        if name not in EVERY_CLIENT_LIBRARY and not types[0].startswith(OF_EVERY_NODE):
            yield name, types[0]


def resolved(name: str) -> str:
    return name if name.startswith("/") else "/" + name.replace("~/", "segmenter_node/")


def test_the_topics_are_those_of_a_running_node(node_info):
    for declared, running in ((OUTPUTS, node_info[0]), (INPUTS, node_info[1])):
        listed = {resolved(topic.name): topic.type for topic in declared}
        always = {resolved(topic.name) for topic in declared if not topic.condition}
        assert running.items() <= listed.items()
        assert always <= running.keys()
    assert node_info[3] == {
        resolved(topic.name): topic.qos for topic in OUTPUTS if resolved(topic.name) in node_info[3]
    }


def test_the_services_are_those_of_a_running_node(node_info):
    assert node_info[2] == {resolved(service.name): service.type for service in SERVICES}
