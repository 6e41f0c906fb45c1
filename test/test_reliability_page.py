"""`docs/reliability.md` names tests: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"
NAMED = re.compile(r"`(test_\w+)::(test_\w+)`")


def test_the_tests_that_the_page_names_are_there():
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 20, "the page has a table of them"
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (TESTS / f"{file}.py").read_text()]
    assert not missing
