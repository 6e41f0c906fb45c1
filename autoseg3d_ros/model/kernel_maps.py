"""Which voxel is whose neighbour: Morton keys, the coarser strides of a set of voxels, and the maps of the kernels.

The rows of every level are in Morton order, so the children of one parent lie side by side: a coarser level is a run
length of the finer one, and the neighbours of a voxel are found through the neighbours of its parent, without a search.
Conventions of MinkowskiEngine (method.md §2.1): kernel index x fastest, odd kernels centred, the kernel 2 not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from autoseg3d_ros.model import sparse_native

AXIS_BITS = 18  # voxels from -131 072 to 131 071 on each axis: 2.6 km at 2 cm
MAX_BATCH = 1 << (63 - 3 * AXIS_BITS)
_BIAS = 1 << (AXIS_BITS - 1)
_SPREADING = (
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
_BLOCK_ROWS = 2048
_SEARCHED_DIRECTLY = 512  # voxels; up to here a sorted search costs less than another coarser level
_COARSEST_STRIDE = 64  # and here it is made whatever the number


@dataclass(frozen=True)
class KernelMap:
    """Which input row each output row reads at each kernel offset.

    `table` (K, num_out) int32; `num_in`, one past the last row, where there is no voxel.
    """

    table: Tensor
    num_in: int

    @property
    def num_out(self) -> int:
        """Number of output rows."""
        return self.table.shape[1]

    @cached_property
    def pairs(self) -> Pairs:
        """The table without its gaps."""
        return Pairs.of_table(self.table, self.num_in)

    @cached_property
    def blocks(self) -> list[Pairs]:
        """The same for blocks of output rows, small enough that what is computed for one stays in the cache."""
        return [Pairs.of_table(columns, self.num_in) for columns in self.table.split(_BLOCK_ROWS, 1)]

    @cached_property
    def transposed(self) -> KernelMap:
        """The map of the transposed convolution: inputs and outputs swapped."""
        table = self.table.new_full((len(self.table), self.num_in + 1), self.num_out)
        table.scatter_(1, self.table.long(), _rows(self.num_out, table).expand_as(self.table))
        return KernelMap(table[:, :-1].contiguous(), self.num_out)


@dataclass(frozen=True)
class Pairs:
    """The pairs of a kernel map, by kernel offset, then by output row."""

    out_row: Tensor  # (P,)
    in_row: Tensor  # (P,)
    lengths: list[int]  # pairs of each kernel offset
    by_output: Tensor  # (P,) the same pairs in order of their output rows
    start: Tensor  # (num_out,) where those of each output row begin there

    @classmethod
    def of_table(cls, table: Tensor, num_in: int) -> Pairs:
        """Read a table (K, num_out) of input rows, `num_in` where there is none."""
        present = table < num_in
        place = present.flatten().cumsum(0, dtype=torch.int32).view(present.shape) - 1
        start = present.sum(0).cumsum(0, dtype=torch.int32).roll(1)
        start[:1] = 0
        return cls(
            out_row=torch.masked_select(_rows(table.shape[1], table), present),
            in_row=torch.masked_select(table, present),
            lengths=present.sum(1).tolist(),
            by_output=torch.masked_select(place.T, present.T),
            start=start,
        )

    @cached_property
    def padded(self) -> Tensor:
        """Input rows, then output rows, of each kernel offset: (2, K, P) int32, -1 past the last."""
        rows = [*self.in_row.split(self.lengths), *self.out_row.split(self.lengths)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1).view(2, len(self.lengths), -1)


class VoxelLevel:
    """The voxels of one stride: `coords` (V, 4) rows batch, x, y, z, in Morton order of `key` (V,)."""

    def __init__(self, coords: Tensor, key: Tensor, stride: int) -> None:
        self.coords = coords
        self.key = key
        self.stride = stride
        self._cubes: dict[int, Tensor] = {}
        self._maps: dict[tuple[int, int], KernelMap] = {}

    def __len__(self) -> int:
        return len(self.coords)

    @cached_property
    def coarser(self) -> VoxelLevel:
        """The level of twice the stride: the voxels floor(c / 2s) * 2s."""
        key = self.key >> 3
        first = self._is_first_child.nonzero().squeeze(1)
        coords = self.coords[first]
        coords[:, 1:] &= -2 * self.stride
        return VoxelLevel(coords, key[first], 2 * self.stride)

    @cached_property
    def parent(self) -> Tensor:
        """Row (V,) of each voxel's parent in the coarser level."""
        return self._is_first_child.cumsum(0) - 1

    @cached_property
    def octant(self) -> Tensor:
        """Place (V,) of each voxel within its parent, which is the index of its offset in a kernel of size 2."""
        return self.key & 7

    @cached_property
    def from_children(self) -> KernelMap:
        """The map of a kernel of size 2 and stride 2 from these voxels onto the coarser level."""
        return KernelMap(self._children[:-1].T.contiguous(), len(self))

    @cached_property
    def from_parent(self) -> KernelMap:
        """The map of the transposed convolution, onto these voxels: each reads its parent."""
        return self.from_children.transposed

    def neighbours(self, kernel_size: int, dilation: int = 1) -> KernelMap:
        """Return the map of a centred kernel of odd size from these voxels onto themselves."""
        if (kernel_size, dilation) not in self._maps:
            table = self._cube(kernel_size // 2 * dilation)
            if dilation > 1:
                side = kernel_size // 2 * dilation * 2 + 1
                table = table.view(side, side, side, -1)[::dilation, ::dilation, ::dilation].flatten(0, 2)
            self._maps[kernel_size, dilation] = KernelMap(table, len(self))
        return self._maps[kernel_size, dilation]

    def find(self, coords: Tensor) -> Tensor:
        """Return the row (M,) of each voxel (M, 4), -1 where there is none; coords are multiples of the stride."""
        row, found = self._search(morton_key(coords, self.stride))
        return torch.where(found, row, -1)

    def _search(self, key: Tensor) -> tuple[Tensor, Tensor]:
        if not len(self):
            return torch.zeros_like(key), torch.zeros_like(key, dtype=torch.bool)
        row = torch.searchsorted(self.key, key).clamp_(max=len(self) - 1)
        return row, self.key[row] == key

    @cached_property
    def _is_first_child(self) -> Tensor:
        parent_key = self.key >> 3
        return torch.cat([parent_key.new_ones(min(1, len(self))), parent_key[1:] != parent_key[:-1]]).bool()

    @cached_property
    def _children(self) -> Tensor:
        """Rows (V_coarse + 1, 8) of the children of each coarser voxel, V where there is none.

        The last row stands for a coarser voxel that is not there: it has no children.
        """
        table = torch.full((len(self.coarser) + 1, 8), len(self), dtype=torch.int32, device=self.key.device)
        table.view(-1)[self.parent * 8 + self.octant] = _rows(len(self), table)
        return table

    def _cube(self, radius: int) -> Tensor:
        """Return the rows ((2r + 1)^3, V) of all voxels within `radius` steps on each axis, V where there is none."""
        if radius not in self._cubes:
            searched = len(self) <= _SEARCHED_DIRECTLY or self.stride >= _COARSEST_STRIDE
            self._cubes[radius] = self._searched_cube(radius) if searched else self._inherited_cube(radius)
        return self._cubes[radius]

    def _searched_cube(self, radius: int) -> Tensor:
        coords = self.coords + _cube_offsets(radius, self.stride).to(self.coords)[:, None]
        row, found = self._search(morton_key(coords.view(-1, 4), self.stride))
        return torch.where(found, row, len(self)).to(torch.int32).view(coords.shape[:2])

    def _inherited_cube(self, radius: int) -> Tensor:
        """Read the neighbours among the children of the parent's neighbours."""
        around = self.coarser._cube((radius + 1) // 2)
        if around.device.type == "cpu" and sparse_native.library() is not None:
            return sparse_native.inherit(
                self._children, around, self.parent, self.octant, _places_around_parent(radius)
            )
        cells = self._children.index_select(0, around.view(-1)).view(-1)  # (parent's neighbours, V_coarse, 8)
        neighbour, octant = _places_around_parent(radius)
        place = (neighbour * around.shape[1] * 8 + octant).to(cells)  # ((2r + 1)^3, 8)
        place = place.T.contiguous().index_select(0, self.octant).T + (self.parent * 8).to(cells)
        return cells.index_select(0, place.reshape(-1)).view(place.shape)


def morton_key(coords: Tensor, stride: int) -> Tensor:
    """Interleave the bits of x, y, z (x lowest) below the batch index: (M, 4) -> (M,) int64, at the given stride."""
    bits = coords[:, 1:].T.to(torch.int64) + _BIAS
    bits = bits.contiguous()
    for shift, mask in _SPREADING:
        bits |= bits << shift
        bits &= mask
    key = bits[0] | (bits[1] << 1) | (bits[2] << 2) | (coords[:, 0].to(torch.int64) << (3 * AXIS_BITS))
    return key >> (3 * (stride.bit_length() - 1))


@lru_cache(maxsize=64)
def _cube_offsets(radius: int, stride: int) -> Tensor:
    """Rows batch, x, y, z ((2r + 1)^3, 4), x fastest."""
    steps = torch.arange(-radius, radius + 1) * stride
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    return torch.stack([torch.zeros_like(x), x, y, z], -1).view(-1, 4)


@lru_cache(maxsize=8)
def _places_around_parent(radius: int) -> tuple[Tensor, Tensor]:
    """Where the cube around each of 8 children lies: which neighbour of the parent, which child of it.

    Both ((2r + 1)^3, 8).
    """
    parent_radius = (radius + 1) // 2
    side = 2 * parent_radius + 1
    octant = torch.arange(8)
    child = torch.stack([octant & 1, (octant >> 1) & 1, octant >> 2], -1)
    cell = _cube_offsets(radius, 1)[:, None, 1:] + child
    x, y, z = torch.unbind((cell >> 1) + parent_radius, -1)
    x_half, y_half, z_half = torch.unbind(cell & 1, -1)
    return (z * side + y) * side + x, z_half * 4 + y_half * 2 + x_half


def _rows(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device)
