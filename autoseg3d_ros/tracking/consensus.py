"""Which fragments of a frame are one object: what geometry says now, held against what the map has learned.

This is the weight-free stand-in for the paper's spatial consistency learning. Pure functions.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from autoseg3d_ros.tracking.tracks import NO_SLOT

_LEAST_SUPPORT = 0.25


def owners(counts: np.ndarray, size: np.ndarray, extent: np.ndarray, share: float) -> np.ndarray:
    """Return the slot (S,) int32 that a fragment is part of, NO_SLOT for none: it holds `share` of its owned points.

    `counts` (S, num_slots): points of the fragment in voxels of each slot; column 0 counts voxels without an owner and
    is ignored. `size` (S,) points; `extent` (num_slots,) voxels of each slot. Where the common points are but a few of
    both (a contact, not a part), there is no owner.
    """
    if counts.size == 0:
        return np.zeros(len(counts), np.int32)
    owned = counts[:, 1:]
    best = owned.argmax(axis=1)
    held = owned[np.arange(len(owned)), best]
    is_part = held >= np.maximum(share * owned.sum(axis=1), _LEAST_SUPPORT * np.minimum(size, extent[best + 1]))
    return np.where(is_part & (held > 0), best + 1, NO_SLOT).astype(np.int32)


def group_fragments(
    size: np.ndarray, owner: np.ndarray, joined: np.ndarray, strength: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """Return the group (S,) int32 of each fragment, numbered from 0.

    `size` (S,) points; `owner` (S,) slots, NO_SLOT = none; `joined` (P, 2) and `apart` (Q, 2) pairs of touching
    fragments that geometry takes for one object, or for two; `strength` (P,) how firmly each pair is joined.

    - Geometry joins fragments, except across two owners: history outweighs one frame. A surface seen for the first
      time that joins two owners goes to the one it is joined to most firmly.
    - Fragments of one owner are joined even where they do not touch, except those that geometry holds apart from the
      owner's largest fragment: so an object that was once swallowed by its neighbour can part from it.
    """
    num = len(size)
    owners_of_pair = owner[joined]
    mixed = (owners_of_pair == NO_SLOT).sum(axis=1) == 1
    alike = owners_of_pair[:, 0] == owners_of_pair[:, 1]
    links = np.concatenate([joined[alike], _links_within_owners(size, owner, apart)])
    group = connected(num, links)
    return connected(num, np.concatenate([links, _firmest_links(group, owner, joined[mixed], strength[mixed])]))


def connected(num: int, links: np.ndarray) -> np.ndarray:
    """Return the component (num,) int32 of each node under undirected `links` (L, 2)."""
    if num == 0:
        return np.zeros(0, np.int32)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(num, num))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def _links_within_owners(size: np.ndarray, owner: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Link every fragment to the largest of its owner, unless the two are held apart; (L, 2)."""
    order = np.lexsort((-size, owner))
    order = order[owner[order] != NO_SLOT]
    _, first, which = np.unique(owner[order], return_index=True, return_inverse=True)
    links = np.stack([order, order[first][which.reshape(-1)]], axis=1).reshape(-1, 2)
    return links[~np.isin(_pair_key(links, len(size)), _pair_key(apart, len(size)))]


def _firmest_links(group: np.ndarray, owner: np.ndarray, mixed: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Of the links (M, 2) between an unowned and an owned fragment, keep for each unowned group the firmest."""
    unowned = np.where(owner[mixed[:, 0]] == NO_SLOT, mixed[:, 0], mixed[:, 1])
    order = np.lexsort((-strength, group[unowned]))
    _, first = np.unique(group[unowned[order]], return_index=True)
    return mixed[order[first]]


def _pair_key(pairs: np.ndarray, num: int) -> np.ndarray:
    ordered = np.sort(pairs, axis=1).astype(np.int64)
    return ordered[:, 0] * num + ordered[:, 1]
