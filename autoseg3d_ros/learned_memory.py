"""What the network remembers between frames."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg3d_ros.memory.bank import TrackBank
from autoseg3d_ros.model.autoseg3d import NetworkState


@dataclass
class LearnedMemory:
    """Features of places, of the last superpoints, and of each track."""

    network: NetworkState
    bank: TrackBank
