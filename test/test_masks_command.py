"""`autoseg3d masks`: masks on disk that can be used again, and figures that compare sources on the same frames."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from benchmark_builders import write_scene

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.data.scene_folder import SceneFolder
from autoseg3d_ros.evaluation.under_segmentation import num_leaked_px
from autoseg3d_ros.lifting.masks import FileMasks, TruthMasks
from autoseg3d_ros.reporting.mask_report import MaskMeter, report_lines
from autoseg3d_ros.structures import Frame, Masks2D


@pytest.fixture
def scene(tmp_path: Path) -> SceneFolder:
    return write_scene(tmp_path / "data" / "one", num_frames=3)


def frames_of(scene: SceneFolder) -> list[Frame]:
    return [frame for frame in scene.source().frames() if isinstance(frame, Frame)]


def ids_of(*rows: list[int]) -> Masks2D:
    ids = np.array(rows, np.int32)
    return Masks2D(ids, int(ids.max(initial=-1)) + 1)


class TestLeakage:
    @pytest.mark.parametrize(
        ("truth", "masks", "expected"),
        [
            ([[0, 0, 0, 0]], ids_of([-1, -1, -1, -1]), 0),  # no mask
            ([[1, 1, 2, 2]], ids_of([0, 0, 1, 1]), 0),
            ([[1, 1, 1, 1]], ids_of([0, 1, 2, 3]), 0),  # fragments leak nothing
            ([[1, 1, 1, 2]], ids_of([0, 0, 0, 0]), 1),
            ([[0, 1, 1, 1]], ids_of([0, 0, 0, 0]), 1),  # the background is a label as any
            ([[1, 2, 3, 3]], ids_of([0, 0, 1, -1]), 1),
        ],
    )
    def test_pixels_of_the_wrong_label(self, truth: list[list[int]], masks: Masks2D, expected: int) -> None:
        assert num_leaked_px(np.array(truth), masks) == expected

    def test_pixels_without_depth_do_not_count(self) -> None:
        valid = np.array([[True, True, True, False]])
        assert num_leaked_px(np.array([[1, 1, 1, 2]]), ids_of([0, 0, 0, 0]), valid) == 0


class TestReport:
    def test_without_frames_nothing_is_known(self) -> None:
        figures = MaskMeter("none").figures()
        assert (figures.num_frames, figures.num_truth_masks) == (0, 0)
        assert figures.as_json()["recall_50"] is None
        assert [line[1] for line in report_lines([figures], with_truth=True)[1]][1:] != []

    def test_truth_against_itself(self, scene: SceneFolder) -> None:
        meter = MaskMeter("truth")
        for frame in frames_of(scene):
            meter.add(frame, TruthMasks().masks(frame), ms=10.0, cpu_ms=20.0)
        figures = meter.figures()
        assert (figures.num_frames, figures.masks_per_frame, figures.ms, figures.cpu_ms) == (3, 2.0, 10.0, 20.0)
        assert (figures.recall_50, figures.recall_75, figures.fragments_per_object, figures.leakage) == (1, 1, 1, 0)

    def test_fragments_are_whole_when_united(self, scene: SceneFolder) -> None:
        meter = MaskMeter("fragmented")
        for frame in frames_of(scene):
            meter.add(frame, TruthMasks(fragments=6).masks(frame), ms=1.0, cpu_ms=1.0)
        figures = meter.figures()
        assert figures.united_recall_75 == 1.0
        assert figures.recall_75 == 0.0
        assert figures.fragments_per_object == 6.0


def test_masks_are_written_and_can_be_used_again(
    scene: SceneFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["masks", str(scene.path), "--out", str(out), "--source", "truth", "--overlays"]) == 0
    assert "masks a frame" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["masks", "masks.png", "overlays"]
    assert cv2.imread(str(out / "masks.png")) is not None
    for frame in frames_of(scene):
        np.testing.assert_array_equal(FileMasks(out / "masks").masks(frame).ids, TruthMasks().masks(frame).ids)
    assert main(["masks", str(scene.path), "--out", str(out), "--source", "regions"]) == 0  # over what was made before
    assert json.loads((out / "masks" / "made.json").read_text())["source"] == "regions"


def test_masks_of_another_origin_are_left_alone(
    scene: SceneFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "masks").mkdir(parents=True)
    assert main(["masks", str(scene.path), "--out", str(tmp_path / "out"), "--source", "truth"]) == 1
    assert "move the folder away" in capsys.readouterr().err


def test_sources_are_compared_on_the_frames_of_all_scenes(
    scene: SceneFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene(tmp_path / "data" / "two", num_frames=2)
    report = tmp_path / "report.json"
    command = ["masks", str(tmp_path / "data"), "--source", "truth,regions", "--truth", "--json", str(report)]
    assert main([*command, "--split", "test"]) == 0
    assert "recall at IoU .5" in capsys.readouterr().out
    truth, regions = json.loads(report.read_text())["sources"]
    assert (truth["source"], truth["num_frames"], truth["recall_50"]) == ("truth", 5, 1.0)
    assert (regions["source"], regions["num_frames"]) == ("regions", 5)
    assert regions["united_recall_50"] > 0.5
    assert main([*command, "--stride", "2", "--limit", "1"]) == 0
    assert json.loads(report.read_text())["sources"][0]["num_frames"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "truth,regions", "--out", "o"], "--out takes the masks of one source"),
        (["--source", "best"], "masks.source: expected one of"),
        (["--split", "val"], "no scene of split 'val'"),
        (["--source", "file", "--set", "masks.directory=nowhere"], "none of the frames could be used"),
    ],
)
def test_wrong_wishes_are_told(
    scene: SceneFolder, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["masks", str(scene.path.parent), *options]) == 1
    assert message in capsys.readouterr().err
