# Where the development services keep their things, and how scripts speak. Sourced, never run.
# Must stay true: everything lives under .dev/, but for what an unprivileged user could not reach there.
# shellcheck shell=bash disable=SC2034

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
dev=$root/.dev
# Names what has to live outside the checkout, so that two checkouts never meet.
checkout=distribution-$(printf '%s' "$root" | sha256sum | cut -c1-10)

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# url_of DATABASE: DATABASE_URL with another database, on the same server: what follows the last slash, up to the question mark.
url_of() {
    local url=${DATABASE_URL:-postgres:///distribution}
    [[ $url =~ ^([^?]*/)[^/?]*(\?.*)?$ ]] || die "DATABASE_URL names no database"
    printf '%s' "${BASH_REMATCH[1]}$1${BASH_REMATCH[2]}"
}

# at_least WANTED HAVE: version HAVE is WANTED or newer.
at_least() { printf '%s\n%s\n' "$1" "$2" | sort -V -C; }

# take_lock: one start or stop at a time; waits for the other. Daemons are launched without this descriptor.
take_lock() {
    mkdir -p "$dev"/{run,log,tools} 2>/dev/null && [[ -w $dev ]] ||
        die "$dev is not writable for $(id -un): it was made by $(stat -c %U "$dev" 2>/dev/null || echo another user)"
    exec 9>"$dev/lock"
    flock 9
}
