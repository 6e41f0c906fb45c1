#!/usr/bin/env bash
# Find a Python that fits and let setup_environment.py do the rest. PYTHON=... names one, TORCH=0 leaves torch out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=${PATH//"$PWD/.venv/bin:"/}  # an activated .venv must not build itself

check='import sys; print(sys.version.split()[0]); assert (3, 10) <= sys.version_info[:2] <= (3, 12)'
needed="Python 3.10, 3.11 or 3.12"
if [ -n "${ROS_DISTRO:-}" ]; then
  check+='; import numpy, rclpy'
  needed+=" that can import the rclpy of the sourced ROS 2 ($ROS_DISTRO)"
fi
found=()
for python in ${PYTHON:-python3.11 python3.12 python3.10 python3}; do
  if version=$("$python" -c "$check" 2>/dev/null); then
    exec "$python" scripts/setup_environment.py
  fi
  [ -z "$version" ] || found+=("$python is $version")
done
printf -v list ', %s' "${found[@]:-none}"
echo "set-up: expected $needed, found ${list:2}; install one (Debian, Ubuntu: apt install python3 python3-venv" \
  "python3-dev) or name it: make setup PYTHON=/path/to/python3.11" >&2
exit 1
