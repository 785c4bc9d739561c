# Finds PostgreSQL's programs or installs them from the system's packages. Sourced after paths.sh.
# Must stay true: no cluster of the system's is made or started, and the system's settings end as they were.
# shellcheck shell=bash

postgres_oldest=15

# postgres_versions: one `VERSION FOLDER` per installed server, newest first.
postgres_versions() {
    local initdb folder version
    for initdb in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
        [[ -n $initdb && -x $initdb ]] || continue
        folder=$(dirname -- "$(readlink -f -- "$initdb")")
        [[ -x $folder/postgres ]] || continue
        version=$("$folder/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        printf '%s %s\n' "$version" "$folder"
    done | sort -rnu
}

# postgres_bin [VERSION]: the folder of that major version, or of the newest that will do.
postgres_bin() {
    postgres_versions | awk -v want="${1:-}" -v oldest="$postgres_oldest" \
        '!done && (want == "" ? $1 >= oldest : $1 == want) { sub(/^[0-9]+ /, ""); print; done = 1 }'
}

install_postgres() {
    local as_root=() settings=/etc/postgresql-common/createcluster.conf saved
    command -v apt-get >/dev/null ||
        die "PostgreSQL $postgres_oldest or newer is missing: install its server, or set DATABASE_URL"
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "PostgreSQL $postgres_oldest or newer is missing and there is no sudo: have root install the package postgresql, or set DATABASE_URL"
        as_root=(sudo)
    fi
    say "installing PostgreSQL from the system's packages (once)"
    apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2; }
    apt update || say "apt-get update failed: trying with the lists as they are"
    # Debian's own way: postgresql-common first, which makes no cluster, then its setting, then the server.
    apt install --yes --no-install-recommends postgresql-common || die "apt-get could not install postgresql-common"
    saved=$(mktemp)
    cp "$settings" "$saved"
    printf '%s\n' 'create_main_cluster = false' | "${as_root[@]}" tee "$settings" >/dev/null
    apt install --yes --no-install-recommends postgresql || local failed=yes
    "${as_root[@]}" tee "$settings" <"$saved" >/dev/null
    rm -f "$saved"
    [[ -z ${failed:-} ]] || die "apt-get could not install postgresql"
    [[ -n $(postgres_bin) ]] ||
        die "this system's PostgreSQL is older than $postgres_oldest: see https://www.postgresql.org/download/ for a newer one, or set DATABASE_URL"
}
