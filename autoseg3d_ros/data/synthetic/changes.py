"""What happens to a room while nobody looks: one thing is moved, taken away or brought in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg3d_ros.data.scene_folder import ChangeKind
from autoseg3d_ros.data.synthetic import families
from autoseg3d_ros.data.synthetic.arrangement import Placed
from autoseg3d_ros.data.synthetic.building import Plan, wall_bodies
from autoseg3d_ros.data.synthetic.placement import Bodies, Room, bodies_of, hull_of, meet, together, upright_box
from autoseg3d_ros.data.synthetic.primitives import rigid
from autoseg3d_ros.data.synthetic.scene import Model, Scene, SceneInstance
from autoseg3d_ros.data.synthetic.settling import supports

_LEAST_SIZE_M = 0.15  # the longest edge of a thing whose change can be noticed
_TRIES = 60
_GAP_M = 0.03
_AWAY_M = 0.1  # between the old and the new place
_BESIDE_M = 0.35  # a new place on the floor is this near to a wall or to furniture
_HEAD_M = 2.0
_LIGHT = (
    *("chair", "office chair", "stool", "armchair", "ottoman", "box", "storage box", "crate", "bin", "ball", "plant"),
    *("floor lamp", "table lamp", "laptop", "monitor", "pillow", "bottle", "book", "microwave"),
)
_ON_TABLES = frozenset({"box", "plant", "table lamp", "laptop", "bottle", "book", "microwave", "monitor"})
_TABLES = frozenset({"table", "desk", "counter", "cabinet", "chest", "dresser", "nightstand"})


def draw_change(scene: Scene, rng: np.random.Generator) -> tuple[Scene, ChangeKind, int]:
    """Return the scene after one change, its kind, and the id of the instance that it happened to.

    Only things a person carries change, at least 0.15 m long, that carry nothing. A moved one keeps its id and goes to
    a free place that does not meet its old one; an added one has the next id. Raises ValueError where the scene has
    neither anything to move nor a place for more.
    """
    kinds: list[ChangeKind] = ["moved", "removed", "added"]
    first = int(rng.choice(3, p=(0.5, 0.25, 0.25)))
    for kind in [kinds[first], *kinds]:
        after = _with_another(scene, rng) if kind == "added" else _without_or_elsewhere(scene, rng, kind)
        if after is not None:
            return after[0], kind, after[1]
    raise ValueError("nothing in this scene can be moved or removed, and there is no free place for anything more")


def movable(scene: Scene) -> list[SceneInstance]:
    """Return what a person could carry away without anything falling down."""
    return [
        item
        for item in scene.instances
        if item.family in _LIGHT and item.model.size_m.max() >= _LEAST_SIZE_M and not _carries(item, scene)
    ]


def _without_or_elsewhere(scene: Scene, rng: np.random.Generator, kind: ChangeKind) -> tuple[Scene, int] | None:
    candidates = movable(scene)
    for index in rng.permutation(len(candidates)):
        item = candidates[index]
        rest = tuple(other for other in scene.instances if other is not item)
        if kind == "removed":
            return replace(scene, instances=rest), item.id
        place = _free_place(replace(scene, instances=rest), item.model, _old_place(item), rng)
        if place is not None:
            moved = replace(item, world_from_object=place)
            instances = tuple(moved if other is item else other for other in scene.instances)
            return replace(scene, instances=instances), item.id
    return None


def _with_another(scene: Scene, rng: np.random.Generator) -> tuple[Scene, int] | None:
    for _ in range(5):
        model = families.draw(_LIGHT[rng.integers(len(_LIGHT))], rng)
        place = _free_place(scene, model, together([]), rng)
        if place is not None and model.size_m.max() >= _LEAST_SIZE_M:
            new_id = max((item.id for item in scene.instances), default=0) + 1
            return replace(scene, instances=(*scene.instances, SceneInstance(new_id, model, place))), new_id
    return None


def _free_place(scene: Scene, model: Model, old: Bodies, rng: np.random.Generator) -> np.ndarray | None:
    """Return world_from_object where a model stands clear of everything, or None where no try found a place."""
    walls = wall_bodies(Plan(np.array(scene.outline_m), scene.height_m))
    room = Room(walls, np.array(scene.outline_m))
    room.put([(item.model, item.world_from_object) for item in scene.instances])
    x_min, y_min, x_max, y_max = scene.walk_area_m
    walk = ((x_min + x_max) / 2, (y_min + y_max) / 2), (x_max - x_min, y_max - y_min)
    room.keep_free(upright_box(*walk, (0.0, _HEAD_M)))
    hulls = [hull_of(item.model, item.world_from_object) for item in scene.instances]
    furniture = together([walls, *hulls])
    tables = [item for item in scene.instances if item.family in _TABLES] if model.family in _ON_TABLES else []
    for _ in range(_TRIES):
        on_table = bool(tables) and rng.random() < 0.6
        place = _on_table(tables[rng.integers(len(tables))], rng) if on_table else _on_floor(scene, rng)
        hull = hull_of(model, place)
        beside = on_table or meet(hull.grown(_BESIDE_M), furniture)
        if beside and not meet(hull.grown(_AWAY_M), old) and room.fits([(model, place)], _GAP_M):
            return place
    return None


def _on_floor(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    outline = np.array(scene.outline_m)
    x, y = rng.uniform(outline.min(axis=0), outline.max(axis=0))
    return rigid(x, y, yaw_rad=rng.uniform(-np.pi, np.pi))


def _on_table(table: SceneInstance, rng: np.random.Generator) -> np.ndarray:
    reach = 0.33 * table.model.size_m[:2]
    x, y = rng.uniform(-reach, reach)
    return table.world_from_object @ rigid(x, y, table.model.levels_m[-1], rng.uniform(-np.pi, np.pi))


def _old_place(item: SceneInstance) -> Bodies:
    """Return the column of space over and under a thing: its shape from above must not meet itself."""
    hull = hull_of(item.model, item.world_from_object)
    return replace(hull, z_m=np.array([[0.0, _HEAD_M]]))


def _carries(item: SceneInstance, scene: Scene) -> bool:
    bodies = bodies_of(item.model, item.world_from_object)
    others: list[Placed] = [(other.model, other.world_from_object) for other in scene.instances if other is not item]
    return any(bool(supports(bodies, other).any()) for other in others if other[1][2, 3] > 1e-6)
