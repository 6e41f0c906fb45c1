"""The surfaces of the synthetic world against their volume, their extent and the direction they face."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg3d_ros.data.synthetic.primitives import Mesh, box, cylinder, lathe, rigid, superellipsoid


def enclosed_volume_m3(mesh: Mesh) -> float:
    """Return the volume by the divergence theorem; negative where triangles face inwards."""
    a, b, c = mesh.corners_m.transpose(1, 0, 2)
    return float(np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("mesh", "volume_m3", "low_m", "high_m"),
    [
        (box((1.0, 2.0, 3.0)), 6.0, (-0.5, -1.0, 0.0), (0.5, 1.0, 3.0)),
        (box((1.0, 1.0, 1.0), (5.0, 0.0, -1.0)), 1.0, (4.5, -0.5, -1.0), (5.5, 0.5, 0.0)),
        (cylinder(0.5, 2.0), np.pi / 2, (-0.5, -0.5, 0.0), (0.5, 0.5, 2.0)),
        (lathe([(0, 0), (1, 0), (0, 3)]), np.pi, (-1.0, -1.0, 0.0), (1.0, 1.0, 3.0)),  # a cone
        (superellipsoid((2.0, 2.0, 2.0)), 4 / 3 * np.pi, (-1.0, -1.0, 0.0), (1.0, 1.0, 2.0)),
        (superellipsoid((1.0, 2.0, 3.0), 60.0), 6.0, (-0.5, -1.0, 0.0), (0.5, 1.0, 3.0)),  # nearly a box
    ],
    ids=["box", "box elsewhere", "cylinder", "cone", "ball", "blunt cushion"],
)
def test_surface_is_closed_faces_outwards_and_has_its_size(
    mesh: Mesh, volume_m3: float, low_m: tuple, high_m: tuple
) -> None:
    assert enclosed_volume_m3(mesh) == pytest.approx(volume_m3, rel=0.03)
    assert mesh.corners_m.min(axis=(0, 1)) == pytest.approx(low_m, abs=0.01)
    assert mesh.corners_m.max(axis=(0, 1)) == pytest.approx(high_m, abs=0.01)
    faces = np.cross(mesh.corners_m[:, 1] - mesh.corners_m[:, 0], mesh.corners_m[:, 2] - mesh.corners_m[:, 0])
    assert np.linalg.norm(mesh.normals, axis=2) == pytest.approx(1.0)
    assert (np.einsum("fi,fci->fc", faces, mesh.normals) > 0).all()


def test_lathe_is_round_about_its_axis_and_sharp_at_its_rim() -> None:
    can = cylinder(0.5, 1.0)
    side = np.abs(can.normals[..., 2]) < 0.5
    assert can.normals[side][:, :2] == pytest.approx(can.corners_m[side][:, :2] / 0.5)
    assert set(np.unique(can.normals[~side][:, 2])) == {-1.0, 1.0}


def test_rigid_tilts_then_turns_then_shifts() -> None:
    tilted_up = rigid(yaw_rad=np.pi / 2, tilt_rad=np.pi / 2) @ [0.0, 1.0, 0.0, 1.0]
    turned = rigid(1.0, 2.0, 3.0, yaw_rad=np.pi / 2) @ [1.0, 0.0, 0.0, 1.0]
    assert tilted_up == pytest.approx([0.0, 0.0, 1.0, 1.0])
    assert turned == pytest.approx([1.0, 3.0, 3.0, 1.0])
