"""Precision over recall, one line a row of the evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Precision at the recalls that were reached, by falling confidence."""

    recall: np.ndarray  # (K,) in [0, 1]
    precision: np.ndarray  # (K,) in [0, 1]


def draw_curves(file: Path, curves: Mapping[float, Mapping[str, Curve]]) -> None:
    """Write a PNG with one panel an IoU threshold and one colour a row; `curves` is threshold -> row -> curve.

    Equal curves give equal bytes. A row without a point is listed in the legend alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(curves), 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (threshold, rows) in zip(panels, curves.items(), strict=True):
        for number, (name, curve) in enumerate(rows.items()):
            order = np.argsort(curve.recall, kind="stable")
            # Straight between the points, so that the area is AP; markers, as few confidences give few points.
            panel.plot(curve.recall[order], curve.precision[order], color=f"C{number % 10}", marker=".", label=name)
        panel.set(title=f"IoU > {threshold:g}", xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        panel.grid(alpha=0.3)
        if rows:
            panel.legend(loc="lower left")
    partial = file.with_name(f".{file.name}.partial")
    figure.savefig(partial, format="png", metadata={"Software": None})
    os.replace(partial, file)
