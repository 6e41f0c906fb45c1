"""What each term of the training loss counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LossWeights:
    """The paper's numbers (`method.md` §8.1 to §8.3), for terms summed over the frames of a clip.

    Over a batch, the terms of tracks and fragments are summed, the contrastive one is averaged.
    """

    classification: float = 0.5
    background: float = 0.1  # of a query without an object, in the classification
    mask: float = 1.0
    dice: float = 1.0
    box: float = 0.5
    semantic: float = 0.5
    one_to_many: float = 0.5  # ICMS: of all terms above, in its branch
    track_match: float = 0.5  # LTM
    track_gate: float = 1.0  # LTM
    fragments: float = 1.0  # LMI; the release leaves this term out, and its LMI untrained
    contrastive: float = 2.0  # ESAM's embedding
