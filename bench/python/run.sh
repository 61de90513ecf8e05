#!/usr/bin/env bash
# Measures the Python package beside the real partd, in a virtual environment of its own under build/python. Arguments go
# to rates.py; PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
folder=build/python/bench
[[ -x $folder/bin/python ]] || "$python" -m venv "$folder"
"$folder/bin/pip" install -q --disable-pip-version-check . partd numpy
"$folder/bin/python" bench/python/rates.py "$@"
