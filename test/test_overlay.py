"""The painted image is published by a thread of its own, the newest one first."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from ros_builders import HEAD
from ros_harness import wait_until

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.reporting.pictures import overlay
from autoseg3d_ros.ros.conversions import header
from autoseg3d_ros.ros.overlay import OverlayPainter, View, overlay_msg

LABELS = np.zeros((48, 64), np.int32)
LABELS[:, 32:] = 3
RGB = np.full((48, 64, 3), (200, 100, 0), np.uint8)


def view(second: int) -> View:
    return View(header(second * 10**9, "camera"), RGB, LABELS)


class Publisher:
    """Notes the stamps of what is published, as soon as it is let."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.stamps: list[int] = []
        self.num_failures = 0

    def publish(self, message) -> None:
        if self.num_failures:
            self.num_failures -= 1
            raise RuntimeError("no")
        self.stamps.append(message.header.stamp.sec)
        self.may_go_on.wait()


@pytest.fixture
def publisher():
    publisher = Publisher()
    yield publisher
    publisher.may_go_on.set()


@pytest.fixture
def painter(publisher):
    painter = OverlayPainter(publisher)
    yield painter
    publisher.may_go_on.set()
    painter.close()


def test_the_picture_is_that_of_reporting_with_blue_first():
    message = overlay_msg(View(HEAD, RGB, LABELS))
    pixels = np.frombuffer(message.data, np.uint8).reshape(48, 64, 3)
    assert (message.header, message.encoding, message.step) == (HEAD, "bgr8", 64 * 3)
    np.testing.assert_array_equal(pixels[..., ::-1], overlay(RGB, LABELS, 64))
    assert pixels[5, 5].tolist() == [0, 100, 200]
    tint = 0.45 * np.array([0, 100, 200]) + 0.55 * id_colours(np.array(3))[::-1]
    assert np.abs(pixels[5, 60] - tint).max() <= 1, "the colour is a function of the id"


def test_an_image_without_instances_is_the_image():
    message = overlay_msg(View(HEAD, RGB, np.zeros_like(LABELS)))
    assert bytes(message.data) == np.ascontiguousarray(RGB[..., ::-1]).tobytes()


def test_while_one_is_painted_only_the_newest_waits(publisher, painter):
    painter.show(view(1))
    assert wait_until(lambda: publisher.stamps == [1])
    for second in (2, 3, 4):
        painter.show(view(second))
    publisher.may_go_on.set()
    assert wait_until(lambda: publisher.stamps == [1, 4])
    painter.show(view(5))
    assert wait_until(lambda: publisher.stamps == [1, 4, 5])


def test_one_that_fails_is_logged_and_the_next_is_painted(publisher, painter, caplog):
    publisher.may_go_on.set()
    publisher.num_failures = 1
    painter.show(view(1))
    assert wait_until(lambda: "overlay: RuntimeError: no" in caplog.text)
    painter.show(view(2))
    assert wait_until(lambda: publisher.stamps == [2])


def test_closing_waits_for_the_picture_in_hand_and_drops_the_next(publisher, painter):
    painter.show(view(1))
    assert wait_until(lambda: publisher.stamps == [1])
    painter.show(view(2))
    closing = threading.Thread(target=painter.close)
    closing.start()
    assert wait_until(lambda: painter._waiting is None) and closing.is_alive()
    publisher.may_go_on.set()
    closing.join(10.0)
    assert not closing.is_alive() and publisher.stamps == [1]
