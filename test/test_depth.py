"""Image buffers, depth and colour: every encoding gives the same metres and the same RGB."""

from __future__ import annotations

import array
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg3d_ros.stream import depth as depth_module
from autoseg3d_ros.stream.colour import decode_colour
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.stream.image_buffer import PIXEL_LAYOUTS, image_array
from autoseg3d_ros.structures import FrameError


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch):
    monkeypatch.setattr(depth_module, "_warned_of", set())


# --- depth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "encoding", "units", "metres"),
    [
        (np.zeros((2, 3), np.uint16), "16UC1", 0.0, np.zeros((2, 3))),
        (np.full((1, 2), np.nan, np.float32), "32FC1", 0.0, [[0, 0]]),
        (np.array([[0, 1, 1500, 65535]], np.uint16), "16UC1", 0.0, [[0, 0.001, 1.5, 65.535]]),
        (np.array([[0, 2000]], np.uint16), "mono16", 0.0, [[0, 2]]),
        (np.array([[5000, 10000]], np.uint16), "16UC1", 5000.0, [[1, 2]]),
        (np.array([[0, -0.0, -1, np.inf, -np.inf, np.nan, 2.5]], np.float32), "32FC1", 0.0, [[0, 0, 0, 0, 0, 0, 2.5]]),
        (np.array([[1500, np.inf]], np.float32), "32FC1", 1000.0, [[1.5, 0]]),
    ],
)
def test_depth_is_metres_and_invalid_is_zero(raw, encoding, units, metres):
    before = raw.copy()
    decoded = decode_depth(raw, encoding, units_per_metre=units, where="here")
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, np.asarray(metres, np.float32))
    np.testing.assert_array_equal(raw, before)


@given(arrays(np.uint16, (3, 4)), st.sampled_from([0.0, 1000.0, 5000.0, 8000.0]))
def test_integer_depth_is_the_quotient_to_the_last_bit(raw, units):
    decoded = decode_depth(raw, "16UC1", units_per_metre=units, where="here")
    assert decoded.tobytes() == (raw.astype(np.float32) / np.float32(units or 1000)).tobytes()


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_float_depth_is_finite_and_not_negative_and_valid_values_stay(raw):
    decoded = decode_depth(raw, "32FC1", where="here")
    assert np.isfinite(decoded).all() and (decoded >= 0).all()
    valid = np.isfinite(raw) & (raw > 0)
    np.testing.assert_array_equal(decoded[valid], raw[valid])
    assert not decoded[~valid].any()


@pytest.mark.parametrize(
    ("raw", "encoding", "expected", "got"),
    [
        (np.zeros((2, 2), np.uint16), "16SC1", "16UC1, mono16, 32FC1", "'16SC1'"),
        (np.zeros((2, 2, 3), np.uint8), "bgr8", "16UC1, mono16, 32FC1", "'bgr8'"),
        (np.zeros((2, 2), np.uint8), "16UC1", "uint16 of shape (H, W)", "uint8 of shape (2, 2)"),
        (np.zeros((2, 2, 3), np.uint16), "16UC1", "uint16 of shape (H, W)", "uint16 of shape (2, 2, 3)"),
        (np.zeros((2, 2), np.float64), "32FC1", "float32 of shape (H, W)", "float64 of shape (2, 2)"),
    ],
)
def test_depth_of_another_kind_is_refused_with_what_and_where(raw, encoding, expected, got):
    with pytest.raises(FrameError) as error:
        decode_depth(raw, encoding, where="/camera/depth")
    for part in ("/camera/depth", expected, got):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("raw", "encoding", "units", "warns"),
    [
        (np.zeros((8, 8), np.uint16), "16UC1", 0.0, False),
        (np.full((8, 8), 1000, np.uint16), "16UC1", 0.0, False),
        (np.full((8, 8), 50, np.uint16), "16UC1", 0.0, False),
        (np.full((8, 8), 49, np.uint16), "16UC1", 0.0, True),
        (np.full((8, 8), 1.2, np.float32), "32FC1", 1000.0, True),
        (np.full((8, 8), 50, np.float32), "32FC1", 0.0, False),
        (np.full((8, 8), 1200, np.float32), "32FC1", 0.0, True),
    ],
)
def test_an_implausible_median_says_that_the_unit_is_wrong(raw, encoding, units, warns, caplog):
    with caplog.at_level(logging.WARNING):
        decode_depth(raw, encoding, units_per_metre=units, where="/camera/depth")
    assert len(caplog.records) == int(warns)
    if warns:
        assert "/camera/depth" in caplog.text and "unit is probably wrong" in caplog.text


def test_invalid_pixels_do_not_count_in_the_median(caplog):
    raw = np.zeros((8, 8), np.uint16)
    raw[0, 0] = 1000
    decode_depth(raw, "16UC1", where="here")
    assert not caplog.records


def test_a_wrong_unit_is_said_once_and_another_again(caplog):
    for _ in range(3):
        decode_depth(np.full((8, 8), 3, np.uint16), "16UC1", where="here")
    assert len(caplog.records) == 1
    decode_depth(np.full((8, 8), 3000, np.float32), "32FC1", where="here")
    assert len(caplog.records) == 2


# --- colour ----------------------------------------------------------------------------------------------------------

RGB = np.array([[[10, 20, 30], [250, 0, 5]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
ALPHA = np.full((2, 2, 1), 77, np.uint8)
GRAY = np.array([[0, 7], [128, 255]], np.uint8)
GRAY_AS_RGB = np.repeat(GRAY[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("data", "encoding", "rgb"),
    [
        (RGB, "rgb8", RGB),
        (RGB[..., ::-1], "bgr8", RGB),
        (np.concatenate([RGB, ALPHA], 2), "rgba8", RGB),
        (np.concatenate([RGB[..., ::-1], ALPHA], 2), "bgra8", RGB),
        (GRAY, "mono8", GRAY_AS_RGB),
        (GRAY.astype(np.uint16) * 256 + 255, "mono16", GRAY_AS_RGB),
    ],
)
def test_every_colour_encoding_gives_the_same_rgb(data, encoding, rgb):
    decoded = decode_colour(data, encoding, "here")
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, rgb)


@pytest.mark.parametrize(
    ("encoding", "luma", "chroma"), [("yuv422", 1, 0), ("uyvy", 1, 0), ("yuv422_yuy2", 0, 1), ("yuyv", 0, 1)]
)
def test_yuv_without_chroma_is_gray_and_the_two_orders_differ(encoding, luma, chroma):
    data = np.zeros((1, 2, 2), np.uint8)
    data[..., luma], data[..., chroma] = (16, 235), 128  # black and white of the studio range
    np.testing.assert_array_equal(decode_colour(data, encoding, "here"), [[[0, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize(
    ("data", "encoding", "parts"),
    [
        (np.zeros((2, 2), np.uint16), "16UC1", ("rgb8, bgr8", "'16UC1'")),
        (np.zeros((2, 2, 3), np.uint8), "", ("rgb8, bgr8", "''")),
        (np.zeros((2, 2), np.uint8), "rgb8", ("(H, W, 3)", "(2, 2)")),
        (np.zeros((2, 2, 4), np.uint8), "rgb8", ("(H, W, 3)", "(2, 2, 4)")),
        (np.zeros((2, 2, 3), np.uint16), "rgb8", ("uint8", "uint16")),
        (np.zeros((2, 3, 2), np.uint8), "yuv422", ("even width", "3 pixels")),
    ],
)
def test_colour_of_another_kind_is_refused_with_what_and_where(data, encoding, parts):
    with pytest.raises(FrameError) as error:
        decode_colour(data, encoding, "/camera/color")
    for part in ("/camera/color", *parts):
        assert part in str(error.value)


# --- buffers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda raw: array.array("B", raw), np.frombuffer])
def test_every_kind_of_buffer_is_viewed_without_its_padding(make):
    raw = bytes([1, 2, 3, 4, 5, 6, 99, 7, 8, 9, 10, 11, 12, 99])
    buffer = np.frombuffer(raw, np.uint8) if make is np.frombuffer else make(raw)
    image = image_array(buffer, 2, 2, 7, "rgb8", False, "here")
    np.testing.assert_array_equal(image, np.arange(1, 13).reshape(2, 2, 3))


@given(
    encoding=st.sampled_from(sorted(PIXEL_LAYOUTS)),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 5),
    is_bigendian=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_buffer_gives_back_the_image_it_was_made_of(encoding, height, width, padding, is_bigendian, seed):
    layout = PIXEL_LAYOUTS[encoding]
    image = np.random.default_rng(seed).integers(0, 200, layout.shape(height, width)).astype(layout.dtype)
    stored = image.astype(image.dtype.newbyteorder(">" if is_bigendian else "<"))
    rows = [row.tobytes() + b"\xff" * padding for row in stored]
    viewed = image_array(b"".join(rows), height, width, len(rows[0]), encoding, is_bigendian, "here")
    assert viewed.dtype == np.dtype(layout.dtype) and viewed.dtype.isnative
    np.testing.assert_array_equal(viewed, image)


def test_native_bytes_are_not_copied():
    buffer = bytearray(8)
    image = image_array(buffer, 2, 2, 4, "16UC1", False, "here")
    buffer[0] = 5
    assert image[0, 0] == 5


@pytest.mark.parametrize(
    ("num_bytes", "height", "width", "step", "encoding", "parts"),
    [
        (0, 0, 0, 0, "rgb8", ("at least 1x1", "0x0")),
        (0, 2, 2, 6, "rgb8", ("expected 12 bytes", "got 0")),
        (11, 2, 2, 6, "rgb8", ("expected 12 bytes", "got 11")),
        (13, 2, 2, 6, "rgb8", ("expected 12 bytes", "got 13")),
        (10, 2, 2, 5, "rgb8", ("at least 6 bytes", "step 5")),
        (12, 2, 2, 6, "bayer_rggb8", ("rgb8, bgr8", "'bayer_rggb8'")),
    ],
)
def test_a_buffer_that_does_not_fit_is_refused_with_expected_and_got(num_bytes, height, width, step, encoding, parts):
    with pytest.raises(FrameError) as error:
        image_array(bytes(num_bytes), height, width, step, encoding, False, "/camera/color")
    for part in ("/camera/color", *parts):
        assert part in str(error.value)


def test_a_padded_bgr_message_becomes_rgb():
    rows = [row[:, ::-1].tobytes() + b"\0\0" for row in RGB]
    image = image_array(b"".join(rows), 2, 2, 8, "bgr8", False, "here")
    np.testing.assert_array_equal(decode_colour(image, "bgr8", "here"), RGB)
