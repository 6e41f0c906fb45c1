"""What ultralytics asks of torchvision, for machines where it is missing or does not fit torch (CPU builds of torch).

ultralytics reads torchvision's version when it is imported and takes `torchvision.ops.nms` later; nothing else that
FastSAM needs. Where the real torchvision can be imported, it is used.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from autoseg3d_ros.lifting.yolo_segmentation import suppress

_METADATA = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.0.0\n"  # older than any feature asked for


def provide_torchvision() -> None:
    """Make `import torchvision` give at least `ops.nms`."""
    try:
        import torchvision  # noqa: F401
    except Exception:  # missing; or built for another torch, which shows as errors of many classes
        sys.modules["torchvision"] = _stand_in()


@contextmanager
def torchvision_version() -> Iterator[None]:
    """Let torchvision's version be found inside, also where it is not installed."""
    finder = _VersionFinder()
    sys.meta_path.append(finder)  # the last to be asked
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Return the boxes (K,) int64 that overlap no better one by more than the threshold, best first.

    As `torchvision.ops.nms`: `boxes` (N, 4) are x and y of the first and the last corner, `scores` (N,).
    """
    order = scores.argsort(descending=True, stable=True)
    kept = suppress(boxes[order].float().cpu().numpy(), iou_threshold, len(order))
    return order[torch.from_numpy(kept).to(order.device)]


def _stand_in() -> ModuleType:
    module, ops = ModuleType("torchvision", __doc__), ModuleType("torchvision.ops")
    ops.nms = nms  # type: ignore[attr-defined]
    module.ops = ops  # type: ignore[attr-defined]
    return module


class _VersionFinder:
    """Finds one distribution and no modules, on `sys.meta_path`."""

    def find_spec(self, *_: Any) -> None:
        """Find no module."""

    def find_distributions(self, context: importlib.metadata.DistributionFinder.Context) -> list[_Version]:
        """Return torchvision where it is asked for."""
        return [_Version()] if context.name == "torchvision" else []


class _Version(importlib.metadata.Distribution):
    def read_text(self, filename: str) -> str | None:
        return _METADATA if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return path
