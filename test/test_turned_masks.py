"""Images turned for a mask model: it sees them upright, and its masks lie as the images do."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.lifting.turned_masks import TurnedModel
from autoseg3d_ros.structures import Masks2D


class RedModel:
    """Finds one mask for each amount of red, and keeps what it was shown."""

    name = "red"

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        self.seen, self.size_px = rgb, size_px
        amounts, ids = np.unique(rgb[..., 0], return_inverse=True)
        return Masks2D(ids.reshape(rgb.shape[:2]).astype(np.int32), len(amounts))


def test_a_model_sees_the_image_upright_and_its_masks_come_back_as_the_image_lies() -> None:
    rgb = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) // 5
    model = RedModel()
    straight = RedModel().segment(rgb, 640)
    turned = TurnedModel(model)
    masks = turned.segment(rgb, 640)
    assert (turned.name, model.size_px) == ("red", 640)
    assert masks.num_masks == straight.num_masks > 1
    np.testing.assert_array_equal(masks.ids, straight.ids)
    assert masks.ids.flags.c_contiguous
    # the top left pixel comes to the top right
    assert model.seen.shape == (6, 4, 3) and model.seen.flags.c_contiguous
    assert (model.seen[0, -1] == rgb[0, 0]).all() and (model.seen[0, 0] == rgb[-1, 0]).all()
