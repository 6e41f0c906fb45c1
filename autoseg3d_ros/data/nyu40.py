"""The 40 classes of NYU Depth v2 (Gupta et al., CVPR 2013), to which SceneNN, ScanNet and 3RScan map their labels."""

from __future__ import annotations

import re

NYU40 = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure"),
    *("otherfurniture", "otherprop"),
)  # class id - 1
UNLABELLED, WALL, FLOOR, OTHER_PROP = 0, 1, 2, 40
STRUCTURE = (UNLABELLED, WALL, FLOOR)  # void in class-agnostic evaluation (`method.md` §9.3, §9.4)

_UNLABELLED_NAMES = ("", "unknown", "unlabeled", "unlabelled", "void", "none", "unsure")
_SPELLINGS = {
    "refridgerator": "refrigerator",
    "fridge": "refrigerator",
    "tv": "television",
    "otherfurn": "otherfurniture",
}


def nyu40_id(name: str) -> int:
    """Return the class of a label in free spelling: 0 where it says nothing, `otherprop` where it is none of the 40.

    Case, spaces, hyphens, underscores and a number at the end (`chair 2`) do not count. A number alone is the class.
    """
    plain = re.sub(r"[\s_-]", "", name.lower())
    if plain.isdecimal():
        return int(plain) if int(plain) <= len(NYU40) else UNLABELLED
    plain = plain.rstrip("0123456789")
    if plain in _UNLABELLED_NAMES:
        return UNLABELLED
    return _ID_OF_NAME.get(_SPELLINGS.get(plain, plain), OTHER_PROP)


_ID_OF_NAME = {name.replace(" ", ""): index for index, name in enumerate(NYU40, start=1)}
