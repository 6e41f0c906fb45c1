"""Which network made the features of a map: only that one can compare with them."""

from __future__ import annotations

import hashlib
from typing import Any

from autoseg3d_ros.segmenter import OnlineSegmenter


def network_digest(segmenter: OnlineSegmenter) -> str:
    """Return a digest of the weights and of how their features are compared; empty for recognition by geometry.

    It reads all weights: ask once a segmenter, not once a frame.
    """
    recognition: Any = segmenter.recognition
    network = getattr(recognition, "network", None)
    if network is None:
        return ""
    digest = hashlib.sha256(type(recognition.association).__name__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.cpu().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
