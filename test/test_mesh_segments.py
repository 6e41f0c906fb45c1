"""Over-segmentation of surfaces: hand-made graphs and surfaces, and the paper's algorithm step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from autoseg3d_ros.data.mesh_segments import THRESHOLD, bending, neighbours, segment, segment_graph, segment_mesh

SPACING_M = 0.02


def edge_by_edge(num_vertices: int, edges: np.ndarray, weights: np.ndarray, k: float, min_size: int) -> list[int]:
    """Return the components as section 4 of the paper makes them: one edge after the other in rising order."""
    parent, size, internal = list(range(num_vertices)), [1] * num_vertices, [0.0] * num_vertices

    def root(vertex: int) -> int:
        return vertex if parent[vertex] == vertex else root(parent[vertex])

    def join(one: int, other: int, weight: float) -> None:
        parent[other] = one
        size[one] += size[other]
        internal[one] = max(internal[one], internal[other], weight)

    rising = sorted(zip(weights.tolist(), edges.tolist(), strict=True))
    for weight, (a, b) in rising:
        one, other = root(a), root(b)
        if one != other and weight <= min(internal[one] + k / size[one], internal[other] + k / size[other]):
            join(one, other, weight)
    for weight, (a, b) in rising:
        one, other = root(a), root(b)
        if one != other and min(size[one], size[other]) < min_size:
            join(one, other, weight)
    return [root(vertex) for vertex in range(num_vertices)]


def partition(labels) -> set[frozenset[int]]:
    labels = np.asarray(labels)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def plane(
    origin_m: tuple[float, float, float], right: tuple[int, int, int], up: tuple[int, int, int], shape=(12, 12)
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices of a grid on a plane and their normals."""
    steps = np.stack(np.meshgrid(*(np.arange(num) * SPACING_M for num in shape), indexing="ij"), axis=-1).reshape(-1, 2)
    vertices = np.array(origin_m) + steps @ np.array([right, up], np.float64)
    return vertices.astype(np.float32), np.tile(np.cross(right, up), (len(vertices), 1)).astype(np.float32)


def segments_of(*surfaces: tuple[np.ndarray, np.ndarray], min_vertices: int = 20) -> list[np.ndarray]:
    vertices_m, normals = (np.concatenate(arrays) for arrays in zip(*surfaces, strict=True))
    label = segment(vertices_m, normals, neighbours(vertices_m, 2.5 * SPACING_M), min_vertices=min_vertices)
    return np.split(label, np.cumsum([len(vertices) for vertices, _ in surfaces])[:-1])


FLOOR = plane((0, 0, 0), (1, 0, 0), (0, 1, 0))


# ------------------------------------------------------------------------------------------------------------- graphs


@pytest.mark.parametrize(
    ("num_vertices", "edges", "weights", "min_vertices", "expected"),
    [
        (0, [], [], 20, []),
        (1, [], [], 20, [0]),
        (3, [], [], 20, [0, 1, 2]),  # too small, but nowhere to go
        (2, [(0, 1)], [0.01], 1, [0, 0]),  # at the limit: k / 1
        (2, [(0, 1)], [0.011], 1, [0, 1]),
        (2, [(0, 1)], [0.011], 2, [0, 0]),
        (3, [(0, 1), (1, 2)], [0.0, 0.006], 1, [0, 0, 1]),  # 0.006 > k / 2 of the pair
        (3, [(0, 1), (1, 2)], [0.002, 0.006], 1, [0, 0, 0]),  # 0.006 <= 0.002 + k / 2
        (4, [(0, 3), (2, 1)], [0.0, 0.0], 1, [0, 1, 1, 0]),
        (5, [(0, 1), (1, 2), (2, 3), (3, 4)], [0.0, 1.0, 0.9, 0.0], 2, [0, 0, 1, 1, 1]),  # 2 goes where it costs less
        (3, [(0, 1), (0, 1), (1, 2)], [0.5, 0.0, 0.5], 1, [0, 0, 1]),  # two edges between the same vertices
    ],
)
def test_small_graphs(num_vertices, edges, weights, min_vertices, expected):
    edges = np.array(edges, np.int32).reshape(-1, 2)
    label = segment_graph(num_vertices, edges, np.array(weights, np.float64), THRESHOLD, min_vertices)
    assert label.dtype == np.int32
    assert label.tolist() == expected


@st.composite
def graphs(draw: st.DrawFn, max_edges: int = 20) -> tuple[int, np.ndarray]:
    num = draw(st.integers(2, 12))
    pairs = [(a, b) for a in range(num) for b in range(a)]
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=max_edges, unique=True))
    return num, np.array(chosen, np.int32)


@given(graphs(), st.randoms(use_true_random=False), st.floats(1e-6, 4.0), st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_weights_far_apart_give_the_components_of_the_paper(graph, random, k, min_size):
    num, edges = graph
    weights = 1.5 * 2.0 ** -np.array(random.sample(range(1, 21), len(edges)))  # one a band: the order is the paper's
    label = segment_graph(num, edges, weights, k, min_size)
    assert partition(label) == partition(edge_by_edge(num, edges, weights, k, min_size))


def test_an_edge_waits_for_lesser_ones_of_its_band():
    edges = np.array([(0, 1), (2, 3), (3, 4), (1, 2)], np.int32)
    weights = np.array([0.9, 0.0, 1.05, 1.9]) / 256
    # 1.9 is within the limit of {0, 1}, 0.9 + 2.2 / 2, but not of {2, 3, 4}, 1.05 + 2.2 / 3
    assert segment_graph(5, edges, weights, 2.2 / 256, 1).tolist() == [0, 0, 1, 1, 1]
    assert partition(edge_by_edge(5, edges, weights, 2.2 / 256, 1)) == {frozenset({0, 1}), frozenset({2, 3, 4})}


@given(graphs(), st.data(), st.floats(0.001, 2.0))
@settings(max_examples=200, deadline=None)
def test_there_is_evidence_for_every_border(graph, data, k):
    """Between any two components the predicate holds: the paper's definition of "not too fine"."""
    num, edges = graph
    weights = np.array(data.draw(st.lists(st.floats(0, 2), min_size=len(edges), max_size=len(edges))))
    label = segment_graph(num, edges, weights, k, 1)
    one, other = label[edges].T
    num_components, inside = label.max() + 1, one == other
    # zero is no edge to scipy, so that weights are lifted by one
    graph_inside = coo_array((1 + weights[inside], edges[inside].T), shape=(num, num))
    tree = minimum_spanning_tree(graph_inside.tocsr()).tocoo()
    internal = np.zeros(num_components)
    np.maximum.at(internal, label[tree.coords[0]], tree.data - 1)
    limit = internal + k / np.bincount(label)
    assert (weights[~inside] > np.minimum(limit[one], limit[other])[~inside] - 1e-12).all()


@given(graphs(), st.data(), st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_no_component_that_has_a_neighbour_is_too_small(graph, data, min_size):
    num, edges = graph
    weights = np.array(data.draw(st.lists(st.floats(0, 2), min_size=len(edges), max_size=len(edges))))
    label = segment_graph(num, edges, weights, THRESHOLD, min_size)
    size = np.bincount(label)
    leaving = label[edges][label[edges[:, 0]] != label[edges[:, 1]]]
    assert (size[leaving] >= min_size).all()


@given(graphs(), st.data())
@settings(max_examples=50, deadline=None)
def test_the_order_of_edges_does_not_matter_where_weights_differ(graph, data):
    num, edges = graph
    weights = np.array(data.draw(st.lists(st.floats(0, 2), min_size=len(edges), max_size=len(edges), unique=True)))
    order = np.array(data.draw(st.permutations(range(len(edges)))))
    label = segment_graph(num, edges, weights, THRESHOLD, 3)
    assert np.array_equal(segment_graph(num, edges[order][:, ::-1], weights[order], THRESHOLD, 3), label)


# ----------------------------------------------------------------------------------------------------------- surfaces


def test_a_plane_is_one_segment():
    (floor,) = segments_of(FLOOR)
    assert (floor == 0).all()


@pytest.mark.parametrize("corner", ["inner", "outer"])
def test_two_planes_at_a_right_angle_are_two_segments(corner):
    side = 1 if corner == "inner" else -1
    floor, wall = segments_of(FLOOR, plane((-0.01, 0, side * 0.01), (0, 1, 0), (0, 0, side)))
    assert (floor == 0).all()
    assert (wall == 1).all()


@pytest.mark.parametrize(("step_m", "num_segments"), [(0.0, 1), (0.005, 2), (0.02, 2)])
def test_a_step_between_parallel_planes_parts_them(step_m, num_segments):
    low, high = segments_of(FLOOR, plane((12 * SPACING_M, 0, step_m), (1, 0, 0), (0, 1, 0)))
    assert (low == 0).all()
    assert (high == num_segments - 1).all()


def test_a_surface_too_small_joins_its_neighbour():
    floor, tile = segments_of(FLOOR, plane((0.05, 0.05, 0.02), (1, 0, 0), (0, 1, 0), (3, 3)))
    assert (floor == 0).all()
    assert (tile == 0).all()
    floor, tile = segments_of(FLOOR, plane((0.05, 0.05, 0.02), (1, 0, 0), (0, 1, 0), (3, 3)), min_vertices=9)
    assert (tile == 1).all()


def test_surfaces_apart_stay_apart_however_small():
    floor, island = segments_of(FLOOR, plane((1.0, 0, 0), (1, 0, 0), (0, 1, 0), (2, 2)))
    assert (floor == 0).all()
    assert (island == 1).all()


@pytest.mark.parametrize("angle_deg", [0.0, 10.0, 60.0])
def test_an_arc_bends_by_the_angle_between_its_normals(angle_deg):
    angle = np.radians([0.0, angle_deg + 1e-3])
    normals = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    weight = bending(0.1 * normals, normals, np.array([[0, 1]]))
    assert weight == pytest.approx([1 - np.cos(angle[1])], abs=1e-9)


def test_equal_points_bend_by_their_normals():
    normals = np.array([[0, 0, 1], [1, 0, 0]], np.float32)
    assert bending(np.zeros((2, 3), np.float32), normals, np.array([[0, 1]])) == pytest.approx([1.0])


# ------------------------------------------------------------------------------------------------------------- meshes


def strip(profile_m: list[tuple[float, float]], num_across: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of the surface that a line (x, z) sweeps along y; it looks to the left of the line."""
    x, z = np.array(profile_m).T
    y = np.arange(num_across) * SPACING_M
    vertices = np.stack(np.broadcast_arrays(x[:, None], y, z[:, None]), axis=-1).reshape(-1, 3)
    index = np.arange(len(vertices), dtype=np.int32).reshape(len(x), num_across)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    corners = [np.stack(triangle, axis=-1).reshape(-1, 3) for triangle in ((a, b, c), (a, c, d))]
    return vertices.astype(np.float32), np.concatenate(corners)


def line(angles_deg: list[float], num_steps: int = 12) -> list[tuple[float, float]]:
    """Return a line of so many steps in each direction, one after the other."""
    directions = np.radians(np.repeat(angles_deg, num_steps))
    steps = SPACING_M * np.stack([np.cos(directions), np.sin(directions)], axis=1)
    return [(0.0, 0.0), *map(tuple, np.cumsum(steps, axis=0).tolist())]


@pytest.mark.parametrize(
    ("angles_deg", "num_segments"),
    [
        ([0], 1),
        ([0, 80], 2),  # the line turns left, to the side that is looked at: an inward fold
        ([0, -80], 2),
        ([0, 12], 2),
        ([0, -12], 1),  # the same outwards: what is round stays whole
        ([0, 80, 0], 3),
    ],
)
def test_meshes_fall_apart_where_they_fold(angles_deg, num_segments):
    vertices_m, faces = strip(line(angles_deg))
    label = segment_mesh(vertices_m, faces)
    assert label.dtype == np.int32
    assert len(np.unique(label)) == num_segments
    assert len(np.unique(segment_mesh(vertices_m, faces[:, [1, 2, 0]]))) == num_segments


def test_vertices_without_a_face_and_no_mesh_at_all():
    vertices_m, faces = strip(line([0]))
    stray = np.concatenate([vertices_m, vertices_m[:1]])
    assert segment_mesh(stray, faces).tolist() == [0] * len(vertices_m) + [1]
    assert segment_mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)).tolist() == []
    assert segment_mesh(vertices_m[:2], np.zeros((0, 3), np.int32)).tolist() == [0, 1]


# --------------------------------------------------------------------------------------------------------- neighbours


@pytest.mark.parametrize(
    ("x_m", "num_neighbours", "expected"),
    [
        ([], 2, []),
        ([0.0], 2, []),
        ([0.0, 0.1], 2, [(0, 1)]),
        ([0.0, 0.3], 2, []),  # out of reach
        ([0.0, 0.1, 0.15], 1, [(0, 1), (1, 2)]),
        ([0.0, 0.1, 0.15], 8, [(0, 1), (0, 2), (1, 2)]),
        ([0.15, 0.0, 0.1], 1, [(0, 2), (1, 2)]),
    ],
)
def test_neighbours(x_m, num_neighbours, expected):
    vertices_m = np.array([(x, 0, 0) for x in x_m], np.float32).reshape(-1, 3)
    edges = neighbours(vertices_m, 0.2, num_neighbours)
    assert edges.dtype == np.int32
    assert [tuple(pair) for pair in edges.tolist()] == expected


def test_points_at_one_place_are_neighbours():
    assert neighbours(np.zeros((3, 3), np.float32), 0.1).tolist() == [[0, 1], [0, 2], [1, 2]]
