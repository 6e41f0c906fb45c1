"""What a real RGB-D camera makes of an ideal view: exposure, blur, noise, rounding and holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.special import ndtr

from autoseg3d_ros.data.synthetic.render import GAMMA, View
from autoseg3d_ros.data.synthetic.scene import Color
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

MIN_DEPTH_M, MAX_DEPTH_M = 0.3, 6.0
DEPTH_UNITS_A_METRE = 1000.0
# Axial noise of a structured-light camera, sigma = a + b (z - 0.4 m)^2: Nguyen, Izadi and Lovell, "Modeling Kinect
# sensor noise for improved 3D reconstruction and tracking", 3DIMPVT 2012, equation 2 without the grazing-angle term.
_NOISE_FLOOR_M, _NOISE_GROWTH, _NOISE_NEAREST_M = 0.0012, 0.0019, 0.4
_LATERAL_SIGMA_PX = 0.6
_CORRELATION_PX = 0.8  # neighbours share a matching window, so their errors are alike
_EDGE_STEP = 0.04  # a depth step of this share of the depth may lose its pixels
_GRAZING_COS = 0.13  # about 82 degrees
_FOCAL_LENGTH_WIDTHS = 0.82  # of a camera whose projector throws shadows
_PATCH_PX = 8  # a dark surface is lost in patches about this wide
_SHOT_NOISE, _READ_NOISE = 0.016, 0.006  # of full scale
_MIDDLE_GREY = 0.2  # linear; where automatic exposure wants the mean of an image
_LOOK_AT_M = 2.0  # how far away what moves through the image is taken to be


@dataclass(frozen=True)
class SensorModel:
    """One camera. The defaults are a good one that stands still in good light; `draw` gives the others."""

    exposure: float = 1.0  # gain on linear light
    tint: Color = (1.0, 1.0, 1.0)  # gain of each channel that the white balance left over
    automatic: float = 0.0  # share, in stops, of a view's distance from middle grey that automatic exposure takes away
    image_noise: float = 1.0  # times that of a good camera
    lens_blur_px: float = 0.6  # sigma
    shutter: float = 0.0  # share of the time from frame to frame in which it is open
    depth_noise: float = 1.0  # times that of a Kinect
    disparity_step_m: float = 0.0  # depth step at 1 m that one step of disparity makes; grows with the square of depth
    edge_loss: float = 0.6  # chance of a pixel beside a depth step to be lost
    projector_m: float = 0.0  # how far to the right a projector is, whose shadows have no depth
    speckle_loss: float = 0.001  # chance of any pixel to be lost
    dark_reflectance: float = 0.0  # a surface that reflects this little is lost in one pixel of three; 0 = never
    gloss_loss: float = 0.0  # chance of a pixel on a mirror to be lost

    @classmethod
    def draw(cls, rng: np.random.Generator) -> SensorModel:
        """Return one camera out of those that robots and people carry."""
        return cls(
            exposure=float(2 ** rng.uniform(-0.5, 0.4)),
            tint=(float(2 ** rng.uniform(-0.2, 0.2)), 1.0, float(2 ** rng.uniform(-0.2, 0.2))),
            automatic=rng.uniform(0.2, 0.8),
            image_noise=rng.uniform(0.6, 2.2),
            lens_blur_px=rng.uniform(0.4, 0.9),
            shutter=rng.uniform(0.04, 0.25),
            depth_noise=rng.uniform(0.6, 1.6),
            disparity_step_m=rng.uniform(0.0005, 0.003),
            edge_loss=rng.uniform(0.4, 0.8),
            projector_m=float(rng.choice([0.0, 0.02, 0.05, 0.075])),
            speckle_loss=rng.uniform(0.0005, 0.004),
            dark_reflectance=rng.uniform(0.008, 0.03),
            gloss_loss=rng.uniform(0.2, 0.9),
        )

    def sense(
        self, view: View, motion_px: tuple[float, float], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the image (H, W, 3) uint8 and the depth (H, W) float32 in metres, 0 = no measurement.

        `motion_px` is how far (right, down) the image moves from one frame to the next; see `image_motion_px`.
        """
        return self.color(view, motion_px, rng), self.depth_m(view, rng)

    def color(self, view: View, motion_px: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
        """Return the (H, W, 3) uint8 image."""
        light = _smeared(view.radiance, (self.shutter * motion_px[0], self.shutter * motion_px[1]))
        gain = self._gain(light) * np.array(self.tint, np.float32)
        shown = np.clip(light * gain, 0, 1) ** np.float32(1 / GAMMA)
        soft = cv2.GaussianBlur(shown, (0, 0), self.lens_blur_px)
        sigma = self.image_noise * (_READ_NOISE + _SHOT_NOISE * np.sqrt(soft))
        soft += sigma * rng.standard_normal(soft.shape, dtype=np.float32)
        return np.rint(np.clip(soft, 0, 1) * 255).astype(np.uint8)

    def depth_m(self, view: View, rng: np.random.Generator) -> np.ndarray:
        """Return measured depth (H, W) float32 in metres, rounded to millimetres, 0 = no measurement."""
        depth = _jittered(view.depth_m, rng)
        sigma = self.depth_noise * (_NOISE_FLOOR_M + _NOISE_GROWTH * (depth - _NOISE_NEAREST_M) ** 2)
        depth = depth + sigma * _correlated_noise(depth.shape, rng)
        chance = rng.random(depth.shape, dtype=np.float32)
        lost = (view.cos_incidence < _GRAZING_COS) | (chance < self.speckle_loss)
        lost |= _near_edge(view.depth_m) & (chance < self.edge_loss)
        if self.projector_m > 0:
            lost |= _in_shadow(view.depth_m, self.projector_m)
        if self.dark_reflectance > 0 or self.gloss_loss > 0:
            lost |= _patchy_chance(depth.shape, rng) < self._material_loss(view)
        lost |= (depth < MIN_DEPTH_M) | (depth > MAX_DEPTH_M)
        rounded = np.rint(self._in_steps(depth) * DEPTH_UNITS_A_METRE) / DEPTH_UNITS_A_METRE
        return np.where(lost, 0, rounded).astype(np.float32)

    def _gain(self, light: np.ndarray) -> np.float32:
        """Return what the image is multiplied with; a dark view is lifted part of the way to middle grey."""
        mean = max(float(light.mean()), 1e-3)
        return np.float32(self.exposure * (_MIDDLE_GREY / mean) ** self.automatic)

    def _material_loss(self, view: View) -> np.ndarray:
        """Return (H, W) the chance that a surface throws too little back, or throws it elsewhere."""
        mirrored = self.gloss_loss * view.gloss**2  # lacquer still scatters enough, a pane does not
        if self.dark_reflectance <= 0:
            return mirrored
        return np.maximum(mirrored, np.exp(-view.reflectance / np.float32(self.dark_reflectance)))

    def _in_steps(self, depth_m: np.ndarray) -> np.ndarray:
        if self.disparity_step_m <= 0:
            return depth_m
        scale = np.float32(1 / self.disparity_step_m)  # disparity in steps is scale / depth
        return scale / np.maximum(np.rint(scale / np.maximum(depth_m, np.float32(0.1))), 1)


def sense_depth(view: View, rng: np.random.Generator) -> np.ndarray:
    """Return what a good camera measures as depth: see `SensorModel.depth_m`."""
    return SensorModel().depth_m(view, rng)


def sense_color(view: View, rng: np.random.Generator) -> np.ndarray:
    """Return the image of a good camera that stands still: see `SensorModel.color`."""
    return SensorModel().color(view, (0.0, 0.0), rng)


def image_motion_px(earlier: RigidPose, later: RigidPose, camera: CameraIntrinsics) -> tuple[float, float]:
    """Return how far (right, down) what is in the middle of the later image has come since the earlier one."""
    ahead = later.matrix @ (0.0, 0.0, _LOOK_AT_M, 1.0)
    x, y, z, _ = np.linalg.inv(earlier.matrix) @ ahead
    depth_m = max(z, 0.1 * _LOOK_AT_M)  # it may have been beside or behind the camera
    return -camera.fx * x / depth_m, -camera.fy * y / depth_m


def _smeared(image: np.ndarray, motion_px: tuple[float, float]) -> np.ndarray:
    """Return the mean of an image that moves on a straight line."""
    reach = int(np.ceil(max(abs(motion_px[0]), abs(motion_px[1])) / 2))
    if np.hypot(*motion_px) < 1.0:
        return image
    sub_px = 16
    kernel = np.zeros((2 * reach + 3, 2 * reach + 3), np.uint8)
    middle = (reach + 1) * sub_px
    half = np.rint(np.array(motion_px) / 2 * sub_px).astype(int)
    cv2.line(kernel, (middle - half).tolist(), (middle + half).tolist(), 255, 1, cv2.LINE_AA, shift=4)
    weights = kernel.astype(np.float32) / kernel.sum()
    return cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REPLICATE)


def _jittered(depth_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take each pixel from a neighbour now and then, which frays the outlines."""
    column, row = np.meshgrid(
        np.arange(depth_m.shape[1], dtype=np.float32), np.arange(depth_m.shape[0], dtype=np.float32)
    )
    shift = _LATERAL_SIGMA_PX * rng.standard_normal((2, *depth_m.shape), dtype=np.float32)
    return cv2.remap(depth_m, column + shift[0], row + shift[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _correlated_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), _CORRELATION_PX)
    return noise / noise.std()


def _patchy_chance(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return (H, W) float32 numbers in [0, 1] that are alike in a neighbourhood and uniform as a whole."""
    height, width = shape
    coarse = rng.standard_normal((height // _PATCH_PX + 2, width // _PATCH_PX + 2), dtype=np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = noise + 0.4 * rng.standard_normal(shape, dtype=np.float32)
    return ndtr(noise / noise.std())


def _in_shadow(depth_m: np.ndarray, projector_m: float) -> np.ndarray:
    """Return (H, W) bool: something nearer is in the way of the light from a projector to the right of the camera."""
    width = depth_m.shape[1]
    # Left to right in the image is left to right for the projector, unless the farther is hidden behind the nearer.
    column = np.arange(width, dtype=np.float32) - np.float32(projector_m * _FOCAL_LENGTH_WIDTHS * width) / depth_m
    from_right = np.minimum.accumulate(column[:, ::-1], axis=1)[:, ::-1]
    return column > from_right + 0.5


def _near_edge(depth_m: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: a depth step is next to the pixel. Inverse depth is linear in the image on every plane."""
    inverse = 1 / depth_m
    bend = np.maximum(np.abs(_second_difference(inverse, 0)), np.abs(_second_difference(inverse, 1)))
    return bend > _EDGE_STEP * inverse


def _second_difference(image: np.ndarray, axis: int) -> np.ndarray:
    difference = np.zeros_like(image)
    inner = tuple(slice(1, -1) if index == axis else slice(None) for index in range(2))
    difference[inner] = np.diff(image, n=2, axis=axis)
    return difference
