"""`autoseg3d masks`: masks on disk that can be used again, and figures that compare sources on the same frames."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from benchmark_builders import write_scene
from scenes import CAMERA

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.data.raw_dataset import CLOCKWISE, ROTATE_FOR_MASKS
from autoseg3d_ros.data.scene_folder import SceneFolder, write_info
from autoseg3d_ros.evaluation.under_segmentation import num_leaked_px
from autoseg3d_ros.lifting.masks import FileMasks, TruthMasks
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError
from autoseg3d_ros.reporting.mask_report import MaskMeter, report_lines
from autoseg3d_ros.reporting.run_folder import read_run
from autoseg3d_ros.structures import NO_MASK, Frame, Masks2D


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


def test_a_run_says_for_how_many_frames_memory_did_not_suffice(
    scene: SceneFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class HungryModel:
        name = "sam"
        num_asked = 0

        def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
            self.num_asked += 1
            if self.num_asked in (2, 4, 5):  # the second frame at full size, the third at both sizes
                raise MemoryExhaustedError("2 GiB wanted")
            return Masks2D(np.zeros(rgb.shape[:2], np.int32), 1)

    monkeypatch.setattr("autoseg3d_ros.build.load_sam", lambda config: HungryModel())
    assert main(["run", str(scene.path), "--masks", "sam", "--model", "none", "--out", str(tmp_path / "run")]) == 0
    reasons = {"sam at 512 px: out of memory": 1, "regions instead of sam: out of memory": 1}
    assert read_run(tmp_path / "run").timing()["makeshift_masks"] == reasons
    assert "masks      1 of the frames: regions instead of sam: out of memory" in capsys.readouterr().out


@pytest.mark.parametrize("num_masks", [0, 1, 300])
def test_a_run_goes_through_with_any_number_of_masks(
    scene: SceneFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_masks: int
) -> None:
    class TileModel:
        name = "sam"

        def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
            tile = np.arange(rgb[..., 0].size, dtype=np.int32).reshape(rgb.shape[:2]) // 10
            return Masks2D(np.where(tile < num_masks, tile, NO_MASK).astype(np.int32), num_masks)

    monkeypatch.setattr("autoseg3d_ros.build.load_sam", lambda config: TileModel())
    assert main(["run", str(scene.path), "--masks", "sam", "--model", "none", "--out", str(tmp_path / "run")]) == 0
    assert read_run(tmp_path / "run").timing()["frames"] == 3


@pytest.mark.parametrize("to_8_bit", [lambda grey: grey, lambda grey: np.repeat(grey[..., None], 3, axis=2)])
def test_grey_and_16_bit_images_have_masks_as_any(
    scene: SceneFolder, tmp_path: Path, to_8_bit: Callable[[np.ndarray], np.ndarray]
) -> None:
    """A grey image, one of three equal channels, and both of 16 bit show the same, so that masks are the same."""
    grey = cv2.imread(str(scene.path / "rgb" / "000001.png"), cv2.IMREAD_GRAYSCALE)
    masks = []
    for image in (to_8_bit(grey), to_8_bit(grey).astype(np.uint16) * 257):
        cv2.imwrite(str(scene.path / "rgb" / "000001.png"), image)
        assert main(["masks", str(scene.path), "--source", "regions", "--out", str(tmp_path / "out")]) == 0
        masks.append(cv2.imread(str(tmp_path / "out" / "masks" / "000001.png"), cv2.IMREAD_UNCHANGED))
    assert masks[0].max() > 1
    np.testing.assert_array_equal(*masks)


class ShapeModel:
    """Keeps the shapes of what it is shown and finds the upper half."""

    name = "sam"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        self.shapes.append(rgb.shape[:2])
        ids = np.full(rgb.shape[:2], NO_MASK, np.int32)
        ids[: len(ids) // 2] = 0
        return Masks2D(ids, 1)


class TestCameraHeldUpright:
    @pytest.fixture
    def model(self, monkeypatch: pytest.MonkeyPatch) -> ShapeModel:
        model = ShapeModel()
        monkeypatch.setattr("autoseg3d_ros.build.load_sam", lambda config: model)
        return model

    @pytest.fixture
    def lying(self, scene: SceneFolder) -> Path:
        origin = {ROTATE_FOR_MASKS: CLOCKWISE}
        write_info(scene.path, dataclasses.replace(scene.info, origin=origin))
        return scene.path

    @pytest.mark.parametrize("is_lying", [False, True])
    def test_the_model_sees_what_masks_and_run_show_it_upright(
        self, scene: SceneFolder, tmp_path: Path, model: ShapeModel, request: pytest.FixtureRequest, is_lying: bool
    ) -> None:
        if is_lying:
            request.getfixturevalue("lying")
        shape = (CAMERA.width, CAMERA.height) if is_lying else (CAMERA.height, CAMERA.width)
        assert main(["masks", str(scene.path), "--source", "sam", "--out", str(tmp_path / "out")]) == 0
        assert main(["run", str(scene.path), "--masks", "sam", "--model", "none", "--out", str(tmp_path / "run")]) == 0
        assert model.shapes == [shape] * 6
        ids = cv2.imread(str(tmp_path / "out" / "masks" / "000000.png"), cv2.IMREAD_UNCHANGED)
        upper_half = ids[:, : CAMERA.width // 2] if is_lying else ids[: CAMERA.height // 2]
        assert (upper_half == 1).all() and np.count_nonzero(ids) == upper_half.size

    def test_stored_masks_lie_as_the_frames_do(self, lying: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        for source in (["truth"], ["file", "--set", f"masks.directory={out / 'masks'}"]):
            assert main(["masks", str(lying), "--out", str(out), "--source", *source]) == 0
        for frame in frames_of(SceneFolder(lying)):
            np.testing.assert_array_equal(FileMasks(out / "masks").masks(frame).ids, TruthMasks().masks(frame).ids)


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
