"""`autoseg3d bag`: a source as a rosbag2."""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from autoseg3d_ros.data.bag import write_bag
from autoseg3d_ros.data.open import open_source


def execute(args: argparse.Namespace) -> int:
    """Write the bag and say what is in it."""
    source = open_source(args.source, args.format)
    with tqdm(total=len(source), unit="frame", disable=not sys.stderr.isatty()) as bar:
        written = write_bag(source, args.out, progress=bar.update)
    print(f"{written.path}: {written.num_frames} frames, depth as {written.depth_encoding}")
    for error in written.skipped:
        print(f"skipped    {error}")
    return 0
