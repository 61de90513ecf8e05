#!/usr/bin/env bash
# A consumer outside the tree: installs BUILD_DIR into a temporary folder, builds programs with nothing but what
# pkg-config says, and runs them. The last line is "N passed, N failed, N skipped".
set -uo pipefail

build=$(cd "${1:?usage: run.sh BUILD_DIR}" && pwd) || exit 2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
read -r -a compiler <<<"${CXX:-c++}"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0 failed=0 skipped=0

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$folder/log" 2>&1; then
        ((++passed)) && echo "passed: $name"
    else
        ((++failed)) && echo "FAILED: $name" && cat "$folder/log"
    fi
}

installed() { meson install -C "$build" --no-rebuild --destdir "$folder/root"; }

find_prefix() {
    local file
    file=$(find "$folder/root" -name shoal.pc) && [[ -n $file ]] || return 1
    pc_folder=$(dirname "$file")
    prefix=$folder/root$(pkg-config --variable=prefix "$file")
    libraries=$prefix${pc_folder#"$prefix"}
    libraries=${libraries%/pkgconfig}
}

ask_pkg_config() { PKG_CONFIG_PATH=$pc_folder pkg-config --define-variable=prefix="$prefix" "$@" shoal; }

compile() { # SOURCE PROGRAM PKG-CONFIG-OPTION...
    local source=$1 program=$2 flags
    shift 2
    flags=$(ask_pkg_config --cflags --libs "$@") || return 1
    echo "flags: $flags"
    # shellcheck disable=SC2086 # they are words
    "${compiler[@]}" -std=c++20 -Wall -Wextra -Werror "$source" -o "$program" $flags
}

counts_words() { # PROGRAM
    local counted
    counted=$(LD_LIBRARY_PATH=$libraries "$1" pear apple pear) || return 1
    [[ $counted == $'pear 2\napple 1\npear 2' ]] || { echo "it said: $counted" && return 1; }
}

uses_shared_library() { LD_LIBRARY_PATH=$libraries ldd "$1" | grep -F "$libraries/libshoal.so"; }

uses_no_shared_library() { ! ldd "$1" | grep -F libshoal; }

only_headers_of_shoal() {
    local names
    names=$(cd "$prefix/include" && find . -type f | sort)
    [[ $names == "$(cd "$root/include" && find . -name '*.hpp' | sort)" ]] || { echo "$names" && return 1; }
}

each_header_stands_alone() {
    local header flags
    flags=$(ask_pkg_config --cflags) || return 1
    for header in "$prefix"/include/shoal/*.hpp; do
        # shellcheck disable=SC2086
        "${compiler[@]}" -std=c++20 -Wall -Wextra -Werror $flags -fsyntax-only -include "$header" -x c++ /dev/null ||
            return 1
    done
}

tool_runs() { [[ $("$prefix/bin/shoal" --version) == "shoal $(ask_pkg_config --modversion)" ]]; }

completion_is_in_place() { [[ -f $prefix/share/bash-completion/completions/shoal ]]; }

readme_block() { # LANGUAGE: the first block of it in README.md
    awk -v start="\`\`\`$1" '$0 == start { inside = 1; next } /^```$/ && inside { exit } inside' "$root/README.md"
}

# The example's store is put into the temporary folder.
readme_example() {
    readme_block cpp | sed "s|/tmp/words|$folder/words|" >"$folder/example.cpp"
    [[ -s $folder/example.cpp ]] || { echo "README.md has no block of C++" && return 1; }
    compile "$folder/example.cpp" "$folder/example" || return 1
    LD_LIBRARY_PATH=$libraries "$folder/example" >"$folder/example.out" || return 1
    "$prefix/bin/shoal" destroy -f "$folder/words"
    readme_block text | diff - "$folder/example.out"
}

prefix=$folder/root
check "meson install puts everything into a folder" installed
if ! find_prefix; then
    echo "there is no shoal.pc in what was installed"
    echo "$passed passed, $((failed + 1)) failed, 0 skipped"
    exit 1
fi
check "the headers that are installed are those of include/" only_headers_of_shoal
check "each installed header compiles alone" each_header_stands_alone
check "the installed command runs where it is" tool_runs
check "the completion is where bash looks for it" completion_is_in_place
check "pkg-config's flags build a program" compile "$here/count_words.cpp" "$folder/shared"
check "that program uses the shared library" uses_shared_library "$folder/shared"
check "that program runs" counts_words "$folder/shared"
check "README.md's example builds and prints what README.md says" readme_example
rm -f "$libraries"/libshoal.so*
check "pkg-config --static's flags build a program" compile "$here/count_words.cpp" "$folder/static" --static
check "that program needs no shared library of shoal" uses_no_shared_library "$folder/static"
check "that program runs too" counts_words "$folder/static"

echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
