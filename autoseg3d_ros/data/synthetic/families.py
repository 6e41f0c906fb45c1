"""The classes of the synthetic world: which families there are, how each is drawn, and its class id."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from autoseg3d_ros.data.synthetic import furniture
from autoseg3d_ros.data.synthetic.scene import Model

Maker = Callable[[np.random.Generator], Model]

MAKERS: Mapping[str, tuple[Maker, ...]] = {
    "chair": (furniture.chair, furniture.slatted_chair),
    "office chair": (furniture.office_chair,),
    "stool": (furniture.stool,),
    "table": (furniture.table, furniture.round_table, furniture.coffee_table),
    "desk": (furniture.desk, furniture.plain_desk),
    "counter": (furniture.counter, furniture.kitchen_counter),
    "sofa": (furniture.sofa, furniture.long_sofa),
    "armchair": (furniture.armchair,),
    "ottoman": (furniture.ottoman,),
    "bed": (furniture.bed,),
    "shelf": (furniture.shelf, furniture.bookcase),
    "cabinet": (furniture.cabinet,),
    "chest": (furniture.chest,),
    "dresser": (furniture.dresser,),
    "nightstand": (furniture.nightstand,),
    "wardrobe": (furniture.wardrobe,),
    "fridge": (furniture.fridge,),
    "microwave": (furniture.microwave,),
    "washing machine": (furniture.washing_machine,),
    "monitor": (furniture.monitor, furniture.lit_monitor),
    "television": (furniture.television,),
    "keyboard": (furniture.keyboard,),
    "laptop": (furniture.laptop,),
    "floor lamp": (furniture.floor_lamp,),
    "table lamp": (furniture.table_lamp,),
    "plant": (furniture.plant, furniture.leafy_plant),
    "box": (furniture.small_box, furniture.carton),
    "storage box": (furniture.storage_box,),
    "crate": (furniture.crate,),
    "bin": (furniture.waste_bin,),
    "bottle": (furniture.bottle, furniture.flask),
    "mug": (furniture.mug,),
    "book": (furniture.book, furniture.standing_book),
    "ball": (furniture.ball,),
    "pillow": (furniture.pillow, furniture.flat_pillow),
    "door": (furniture.door,),
    "window": (furniture.window,),
    "curtain": (furniture.curtain,),
    "picture": (furniture.picture,),
    "radiator": (furniture.radiator,),
    "rug": (furniture.rug,),
}
FAMILIES: tuple[str, ...] = tuple(MAKERS)  # class id = index + 1: append, never insert
ON_WALLS = frozenset({"door", "window", "curtain", "picture", "radiator"})


def draw(family: str, rng: np.random.Generator) -> Model:
    """Draw a model of a family, one of its forms. Raises KeyError for a name that is not in FAMILIES."""
    makers = MAKERS[family]
    return makers[rng.integers(len(makers))](rng)


def class_id(family: str) -> int:
    """Return the class id, >= 1. Raises ValueError for a name that is not in FAMILIES."""
    return FAMILIES.index(family) + 1
