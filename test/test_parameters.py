# ruff: noqa: E402 - what needs ROS is imported after the check that it is there
"""Settings as ROS parameters: one name, one default, one rule."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: `make setup`")

from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.ros import parameters


@pytest.fixture
def make_node(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    context = Context()
    context.init(args=[])
    nodes = []

    def make(**overrides) -> Node:
        node = Node(
            "under_test",
            context=context,
            parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
            automatically_declare_parameters_from_overrides=True,
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def test_parameters_are_the_settings(make_node):
    node = make_node()
    assert parameters.declare(node) == Config()
    for key, value in settings.as_flat_dict(Config()).items():
        assert node.get_parameter(key).value == value, key


def test_every_parameter_is_described(make_node):
    node = make_node()
    parameters.declare(node)
    for key, field in settings.settings():
        described = node.describe_parameter(key)
        assert described.description == field.metadata["help"], key
        assert ("read-only" in described.additional_constraints) == field.metadata["read_only"], key
        for choice in field.metadata["choices"]:
            assert choice in described.additional_constraints, key
    assert node.describe_parameter("tracking.min_affinity").floating_point_range[0].to_value == 1.0
    assert node.describe_parameter("tracking.min_observations").integer_range[0].from_value == 1
    assert not node.describe_parameter("map_frame").floating_point_range


@pytest.mark.parametrize(
    "overrides, key, value",
    [
        ({"map_frame": "odom"}, "map_frame", "odom"),
        ({"tracking.min_observations": 5}, "tracking.min_observations", 5),
        ({"depth.max_m": 4.5}, "depth.max_m", 4.5),
        ({"depth.max_m": 4}, "depth.max_m", 4.0),  # `4` in a YAML file is an integer: a common mistake, and harmless
        ({"use_sim_time": True}, "seed", 0),
        ({"qos_overrides./points.publisher.depth": 3}, "seed", 0),
    ],
)
def test_values_given_at_the_start(make_node, overrides, key, value):
    node = make_node(**overrides)
    config = parameters.declare(node)
    assert settings.as_flat_dict(config)[key] == value
    assert node.get_parameter(key).value == value


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"depth.max": 4.0}, "parameter unknown key 'depth.max'; did you mean 'depth.max_m'"),
        ({"depth.max_m": -1.0}, "parameter depth.max_m: expected a value ≥ 0.1, got -1"),
        ({"depth.max_m": "far"}, "parameter depth.max_m: expected float, got 'far'"),
        ({"pose.source": "gps"}, "parameter pose.source: expected one of pose, odometry, tf, got 'gps'"),
        ({"map_frame": 3}, "parameter map_frame: expected str, got 3"),
        ({"input.qos": "sensor"}, "parameter input.qos: expected one of SYSTEM_DEFAULT"),
    ],
)
def test_wrong_values_at_the_start_are_named(make_node, overrides, message):
    with pytest.raises(ConfigError) as caught:
        parameters.declare(make_node(**overrides))
    assert message in str(caught.value)


def watched(node: Node, *, is_fixed: bool = True) -> list[Config]:
    seen: list[Config] = []
    parameters.watch(node, parameters.declare(node), seen.append, is_fixed=lambda: is_fixed)
    return seen


def test_a_change_reaches_the_listener(make_node):
    node = make_node()
    seen = watched(node)
    assert node.set_parameters([Parameter("tracking.min_observations", value=7)])[0].successful
    assert node.set_parameters([Parameter("depth.min_m", value=0.5)])[0].successful
    assert [(c.tracking.min_observations, c.depth.min_m) for c in seen] == [(7, 0.2), (7, 0.5)]


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("on_time_jump", "panic", "on_time_jump: expected one of reset, keep, shutdown, got 'panic'"),
        ("tracking.min_affinity", 1.5, "tracking.min_affinity"),
        ("tracking.min_affinity", float("nan"), "tracking.min_affinity"),
        ("depth.max_m", 3, "Wrong parameter type"),
        ("map_frame", "odom", "read-only"),
        ("masks.source", "regions", "read-only"),
    ],
)
def test_a_wrong_change_is_refused_with_a_reason(make_node, name, value, reason):
    node = make_node()
    seen = watched(node)
    before = node.get_parameter(name).value
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert reason in result.reason
    assert node.get_parameter(name).value == before
    assert seen == []


def test_before_configure_every_setting_may_be_set(make_node):
    node = make_node()
    seen = watched(node, is_fixed=False)
    assert node.set_parameters([Parameter("map_frame", value="odom")])[0].successful
    assert not node.set_parameters([Parameter("pose.source", value="gps")])[0].successful
    assert [config.map_frame for config in seen] == ["odom"]


def test_a_read_only_setting_may_be_set_to_what_it_is(make_node):
    node = make_node()
    watched(node)
    assert node.set_parameters([Parameter("map_frame", value="map")])[0].successful


def test_a_wrong_one_among_several_changes_nothing(make_node):
    node = make_node()
    seen = watched(node)
    both = [Parameter("depth.min_m", value=0.5), Parameter("on_time_jump", value="panic")]
    assert not node.set_parameters_atomically(both).successful
    assert node.get_parameter("depth.min_m").value == 0.2
    assert seen == []


def test_parameters_of_rclpy_are_left_alone(make_node):
    node = make_node()
    seen = watched(node)
    assert node.set_parameters([Parameter("use_sim_time", value=True)])[0].successful
    assert seen == []
