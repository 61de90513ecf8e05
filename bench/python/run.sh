#!/usr/bin/env bash
# Measures the Python package beside the real partd, in a virtual environment of its own under build/python.
#
# Usage: bench/python/run.sh [rates|shuffles] [ARGUMENT-OF-IT...]; PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
program=rates
if [[ ${1-} == rates || ${1-} == shuffles ]]; then
    program=$1
    shift
fi
folder=build/python/bench
[[ -x $folder/bin/python ]] || "$python" -m venv "$folder"
"$folder/bin/pip" install -q --disable-pip-version-check . partd numpy "dask[dataframe]"
"$folder/bin/python" "bench/python/$program.py" "$@"
