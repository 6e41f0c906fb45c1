"""Every setting of `config.py` as a ROS parameter of the same name, checked by the same rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import Config, ConfigError

_LARGEST_INT = 2**63 - 1
_LARGEST_FLOAT = 1.7976931348623157e308
_READ_ONLY = {name for name, field in settings.settings() if field.metadata["read_only"]}
_OF_RCLPY = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def declare(node: Node) -> Config:
    """Declare all settings on `node`, which declares its overrides itself, and return them as a Config.

    Raises ConfigError, naming the parameter, for an unknown one or a value that cannot be used.
    """
    given = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    given = {name: value for name, value in given.items() if not name.startswith(_OF_RCLPY)}
    try:
        config = settings.replace(Config(), given)
    except ConfigError as error:
        raise ConfigError(f"parameter {error}") from error
    for name in given:  # rclpy declared it without type or description
        node.undeclare_parameter(name)
    values = settings.as_flat_dict(config)
    for name, field in settings.settings():
        node.declare_parameter(name, values[name], descriptor(name, field), ignore_override=True)
    return config


def watch(node: Node, config: Config, on_change: Callable[[Config], None], is_fixed: Callable[[], bool]) -> None:
    """Check every later change of a parameter against the settings, and call `on_change` with the config it gives.

    While `is_fixed`, a setting that is read-only keeps its value.
    """
    current = config

    def check(parameters: list[Parameter]) -> SetParametersResult:
        ours = _ours(parameters)
        try:
            changed = settings.as_flat_dict(settings.replace(current, ours))
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        before = settings.as_flat_dict(current)
        fixed = [name for name in ours if name in _READ_ONLY and changed[name] != before[name]]
        if fixed and is_fixed():
            reason = f"{fixed[0]}: read-only until the node is cleaned up (it is {before[fixed[0]]!r})"
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def apply(parameters: list[Parameter]) -> None:
        nonlocal current
        changed = settings.replace(current, _ours(parameters))
        if changed != current:
            current = changed
            on_change(changed)

    node.add_on_set_parameters_callback(check)
    node.add_post_set_parameters_callback(apply)


def descriptor(name: str, field: dataclasses.Field) -> ParameterDescriptor:
    """Return what `ros2 param describe` says of one setting."""
    low, high, choices = (field.metadata[key] for key in ("minimum", "maximum", "choices"))
    constraints = [f"one of {', '.join(choices)}"] if choices else []
    constraints += ["read-only from configure to cleanup"] if field.metadata["read_only"] else []
    described = ParameterDescriptor(  # rclpy's own read_only is for ever
        name=name, description=field.metadata["help"], additional_constraints="; ".join(constraints)
    )
    if low is None and high is None:
        return described
    if isinstance(field.default, int):
        to_value = _LARGEST_INT if high is None else int(high)
        described.integer_range = [IntegerRange(from_value=int(low), to_value=to_value, step=1)]
    else:
        to_value = _LARGEST_FLOAT if high is None else float(high)
        described.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=to_value)]
    return described


def _ours(parameters: list[Parameter]) -> dict[str, Any]:
    return {one.name: one.value for one in parameters if not one.name.startswith(_OF_RCLPY)}
