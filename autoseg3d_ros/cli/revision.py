"""Which version of the code runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def revision() -> str:
    """Return the commit of the checkout that runs, and whether the package differs from it; empty outside of one."""
    commit = _git("rev-parse", "HEAD")
    return commit + " with changes not committed" * bool(commit and _git("status", "--porcelain", "--", "."))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_PACKAGE, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # git is not installed
        return ""
    return done.stdout.strip()
