"""JPEG and PNG in messages: colour in its order, depth without loss, and the damaged ones named."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from autoseg3d_ros.stream.encoded_image import decode_encoded_colour, decode_encoded_depth
from autoseg3d_ros.structures import FrameError

RED = np.full((16, 24, 3), (250, 10, 5), np.uint8)
UNITS = np.array([[0, 1, 1500], [65535, 2000, 700]], np.uint16)
RAMP_M = np.array([[0.5, 1.0, np.nan], [3.0, 9.9, 0.7]], np.float32)


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def quantised(depth_m: np.ndarray, nearest_m: float = 10.0, depth_100: float = 100.0) -> bytes:
    """Pack metres as compressed_depth_image_transport does: inverse depth, its two numbers before the PNG."""
    a = depth_100 * (depth_100 + 1)
    b = 1 - a / nearest_m
    inverse = np.where(np.isfinite(depth_m), a / depth_m + b, 0).astype(np.uint16)
    return struct.pack("<iff", 0, a, b) + encoded(inverse, ".png")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(
    ("format", "first"),
    [("jpeg", "blue"), ("", "blue"), ("rgb8; jpeg compressed bgr8", "blue"), ("rgb8; jpeg compressed rgb8", "red")],
)
def test_red_stays_red(suffix, format, first):
    handed_over = RED[..., ::-1] if first == "blue" else RED
    decoded = decode_encoded_colour(encoded(handed_over, suffix), format, "here")
    assert decoded.dtype == np.uint8 and np.abs(decoded.astype(int) - RED).max() <= (4 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_grey_is_spread_to_three_channels(suffix):
    decoded = decode_encoded_colour(encoded(np.full((16, 16), 77, np.uint8), suffix), "mono8; jpeg compressed ", "here")
    assert decoded.shape == (16, 16, 3) and np.abs(decoded.astype(int) - 77).max() <= 1


@pytest.mark.parametrize(
    ("format", "header"),
    [
        ("16UC1; compressedDepth png", bytes(12)),
        ("16UC1; compressedDepth", bytes(12)),
        ("mono16; compressedDepth png", bytes(12)),
        ("16UC1; png compressed ", b""),
        ("png", b""),
        ("", b""),
    ],
)
def test_depth_of_integers_keeps_every_bit(format, header):
    decoded = decode_encoded_depth(header + encoded(UNITS, ".png"), format, 0.0, "here")
    np.testing.assert_array_equal(decoded, UNITS.astype(np.float32) / np.float32(1000))
    decoded = decode_encoded_depth(header + encoded(UNITS, ".png"), format, 5000.0, "here")
    np.testing.assert_array_equal(decoded, UNITS.astype(np.float32) / np.float32(5000))


def test_depth_of_floats_is_that_of_the_quantisation():
    decoded = decode_encoded_depth(quantised(RAMP_M), "32FC1; compressedDepth png", 0.0, "here")
    valid = np.isfinite(RAMP_M)
    # a step of the inverse depth is depth² / a
    assert (np.abs(decoded - RAMP_M)[valid] <= RAMP_M[valid] ** 2 / (100 * 101) * 1.1).all()
    assert not decoded[~valid].any() and decoded.dtype == np.float32


PNG_OF_DEPTH = bytes(12) + encoded(np.arange(24 * 32, dtype=np.uint16).reshape(24, 32), ".png")
PNG_OF_COLOUR = encoded(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8), ".png")


@pytest.mark.parametrize(
    ("data", "format", "parts"),
    [
        (b"", "16UC1; compressedDepth png", ("got 0 bytes",)),
        (bytes(12), "16UC1; compressedDepth png", ("got 12 bytes",)),
        (encoded(RED, ".jpg"), "16UC1; jpeg compressed ", ("without loss, got JPEG", "compressedDepth or raw")),
        (encoded(RED, ".jpg"), "jpeg", ("without loss, got JPEG",)),
        (bytes(12) + encoded(RED, ".jpg"), "16UC1; compressedDepth jpeg", ("without loss, got JPEG",)),
        (PNG_OF_DEPTH, "16UC1; compressedDepth rvl", ("as PNG, got", "rvl")),
        (PNG_OF_DEPTH[:-9], "16UC1; compressedDepth png", ("cut short",)),
        (PNG_OF_DEPTH[12:], "32FC1; compressedDepth png", ("12-byte header", "got 0 bytes")),
        (PNG_OF_COLOUR, "png", ("expected uint16 of shape (H, W)", "got uint8 of shape (24, 32, 3)")),
        (b"no image at all, but some bytes", "16UC1; compressedDepth png", ("got 31 bytes that cannot be decoded",)),
    ],
)
def test_depth_that_cannot_be_trusted_is_refused(data, format, parts):
    with pytest.raises(FrameError) as error:
        decode_encoded_depth(data, format, 0.0, "/depth")
    for part in ("/depth", *parts):
        assert part in str(error.value)


@pytest.mark.parametrize("at", [8, 20, 60, 200, 1000])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_damaged_bytes_give_an_image_or_an_error_that_names_the_topic(suffix, at):
    data = bytearray(encoded(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8), suffix))
    data[at : at + 16] = b"\xff" * 16
    try:
        decoded = decode_encoded_colour(data, "jpeg", "/rgb")
    except FrameError as error:
        assert str(error).startswith("/rgb: ")
    else:
        assert decoded.ndim == 3
