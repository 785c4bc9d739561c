# Finds a Redis or Valkey server or unpacks the system's package into .dev/tools. Sourced after paths.sh and tools.sh.
# Must stay true: nothing is installed into the system and no service is started.
# shellcheck shell=bash

# find_redis: sets `redis_server`, and `redis_libraries` where it needs libraries that were fetched with it.
find_redis() {
    redis_libraries=
    local name
    for name in redis-server valkey-server; do
        if redis_server=$(command -v "$name"); then return; fi
    done
    local place
    place=$(tool_dir redis system)
    [[ -x $place/bin/redis-server ]] || fetch_redis
    redis_server=$place/bin/redis-server
    redis_libraries=$place/lib
}

fetch_redis() {
    local fetched packages file
    command -v apt-get >/dev/null || die "redis-server is missing: install it"
    say "fetching redis-server from the system's packages (once)"
    mkdir -p "$dev/tools"
    fetched=$(mktemp -d "$dev/tools/.fetch-XXXXXX")
    # What would be installed is what is missing here: the server and its libraries.
    packages() { apt-get -qq --simulate --no-install-recommends install redis-server 2>/dev/null | awk '/^Inst/ { print $2 }'; }
    if ! (cd "$fetched" && apt-get -qq download $(packages)) >/dev/null 2>&1; then
        # Old lists name files that are gone.
        { ((EUID == 0)) && apt-get -qq update || sudo -n apt-get -qq update; } >&2 || true
        (cd "$fetched" && apt-get -qq download $(packages)) >&2 ||
            die "redis-server could not be fetched by apt-get: install it"
    fi
    for file in "$fetched"/*.deb; do dpkg-deb --extract "$file" "$fetched/root"; done
    mkdir -p "$fetched/bin" "$fetched/lib"
    # In Debian the server is a link to the program of another package.
    cp --dereference "$fetched/root/usr/bin/redis-server" "$fetched/bin/"
    find "$fetched/root" \( -name '*.so' -o -name '*.so.*' \) -exec cp --no-dereference -t "$fetched/lib" {} +
    rm -rf "$fetched/root" "$fetched"/*.deb
    chmod -R go+rX "$fetched"
    mv -T "$fetched" "$(tool_dir redis system)" 2>/dev/null || rm -rf "$fetched"
    [[ -x $(tool_dir redis system)/bin/redis-server ]] || die "the package redis-server has no server in it"
}
