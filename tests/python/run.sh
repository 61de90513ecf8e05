#!/usr/bin/env bash
# The Python package as a user gets it: builds the wheel, installs it into a virtual environment without anything else
# and uses it there, then into one with the tests' requirements and runs pytest. All of it is under build/python. The
# last line is "N passed, N failed, N skipped".
#
# Usage: tests/python/run.sh [ARGUMENT-OF-PYTEST...]; PYTHON names another interpreter than python3.
#        tests/python/run.sh --prepare   only what takes long before the first test, without a word if it fails
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2

python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 2
folder=$PWD/build/python/$version
environment=$folder/environment
passed=0 failed=0 skipped=0
mkdir -p "$folder"

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$folder/log" 2>&1; then
        ((++passed)) && echo "passed: $name"
    else
        ((++failed)) && echo "FAILED: $name" && tail -n 100 "$folder/log"
        return 1
    fi
}

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    ((failed == 0))
    exit
}

# Made once, and again for another interpreter or other requirements.
make_environment() { # FOLDER REQUIREMENTS
    local wanted
    wanted=$("$python" -c 'import sys; print(sys.base_prefix, sys.version)' && cat "tests/python/$2")
    [[ $(cat "$1/made-for" 2>/dev/null) == "$wanted" ]] && return
    "$python" -m venv --clear "$1" &&
        "$1/bin/pip" install -q --disable-pip-version-check -r "tests/python/$2" &&
        echo "$wanted" >"$1/made-for"
}

install_wheel() { # FOLDER
    "$1/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps --no-index "$folder"/wheel/*.whl
}

# In a build folder that is kept, so that only what changed is compiled; it has the environment's paths.
build_wheel() {
    [[ $folder/build -nt $environment/made-for ]] || rm -rf "$folder/build"
    rm -rf "$folder/wheel"
    PATH=$environment/bin:$PATH "$environment/bin/pip" wheel -q --disable-pip-version-check --no-build-isolation \
        --no-deps --wheel-dir "$folder/wheel" --config-settings=build-dir="$folder/build" \
        ${JOBS:+--config-settings=compile-args=-j$JOBS} .
}

has_what_a_user_needs() {
    local names name
    names=$("$python" -m zipfile -l "$folder"/wheel/*.whl | cut -d' ' -f1)
    for name in shoal/py.typed shoal/_native.pyi shoal/__init__.py; do
        grep -qx "$name" <<<"$names" || { echo "no $name among:" && echo "$names" && return 1; }
    done
    if grep -E 'libshoal|\.hpp$|^(src|tests)/' <<<"$names"; then return 1; fi
}

works_alone() {
    "$python" -m venv --clear "$folder/clean" &&
        "$folder/clean/bin/pip" install -q --disable-pip-version-check --no-index "$folder"/wheel/*.whl &&
        (cd / && "$folder/clean/bin/python" -W error -c '
import doctest, pathlib, shoal, shoal.dask, shoal.partd
failed, examples = doctest.testmod(shoal)
assert examples and not failed
assert not {"Arrow", "Client", "Numpy", "Snappy"} & set(dir(shoal.partd))
with shoal.partd.Pickle(shoal.partd.ZLib()) as part:
    part.append({"x": [1]})
    assert part.get("x") == [1]
assert "libshoal" not in pathlib.Path("/proc/self/maps").read_text()
')
}

works_with_old_dask() {
    make_environment "$folder/debian-12" requirements-debian-12.txt && install_wheel "$folder/debian-12" &&
        PYTHONDONTWRITEBYTECODE=1 "$folder/debian-12/bin/python" -m pytest -q tests/python/test_dask.py
}

if [[ ${1-} == --prepare ]]; then
    make_environment "$environment" requirements.txt && build_wheel
    [[ $version == 3.1[01] ]] && make_environment "$folder/debian-12" requirements-debian-12.txt
    exit
fi

check "a virtual environment with the requirements" make_environment "$environment" requirements.txt || finish
check "pip builds a wheel" build_wheel || finish
check "the wheel has extension, stubs and py.typed, and nothing else of the library" has_what_a_user_needs
check "the wheel works in a virtual environment without anything else" works_alone
check "the wheel is installed beside the tests' requirements" install_wheel "$environment" || finish
if (($# == 0)); then
    if [[ $version == 3.1[01] ]]; then
        check "shoal.dask works with the Dask of Debian 12" works_with_old_dask
    else
        ((++skipped)) && echo "skipped: shoal.dask with the Dask of Debian 12, which is not for CPython $version"
    fi
fi

PYTHONDONTWRITEBYTECODE=1 "$environment/bin/python" -m pytest -q "$@" 2>&1 | tee "$folder/pytest"
read -r -a numbers < <(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$folder/pytest" | tr -dc '0-9 \n')
if ((${#numbers[@]} == 3)); then
    ((passed += numbers[0], failed += numbers[1], skipped += numbers[2]))
else
    ((++failed)) && echo "FAILED: pytest did not come to its end"
fi
finish
