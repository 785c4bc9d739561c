# The private Postgres: data in .dev/postgres, reached by a unix socket alone. Sourced after the others.
# Must stay true: fsync is on (we measure with it), and no TCP port is opened.
# shellcheck shell=bash

# Not under .dev: a socket's path may have 107 bytes at most.
postgres_socket=/tmp/$checkout
postgres_url="postgres:///distribution?host=$postgres_socket&port=5432&user=postgres"

postgres_settings=(
    "cluster_name=$checkout" "unix_socket_directories=$postgres_socket" listen_addresses= port=5432
    max_connections=300 shared_buffers=256MB max_wal_size=4GB checkpoint_timeout=15min wal_compression=lz4
    fsync=on jit=off autovacuum_naptime=10s logging_collector=off "log_line_prefix=%m [%p] %d "
)

# The caller's PGHOST and its like must not lead our own commands elsewhere.
postgres_sql() { env -u PGOPTIONS -u PGSERVICE "$postgres_bin/psql" -XAtqw -v ON_ERROR_STOP=1 -h "$postgres_socket" -p 5432 -U postgres "$@"; }

postgres_pid() {
    local pid
    pid=$(pid_in "$postgres_data/postmaster.pid") && runs "$pid" postgres "$postgres_data" && printf '%s' "$pid"
}

# make_postgres_data: complete or not at all, so an interrupted start leaves nothing half made.
make_postgres_data() {
    say "making a PostgreSQL database folder"
    rm -rf "$postgres_data.new"
    mkdir -m 700 "$postgres_data.new"
    give "$postgres_data.new"
    (cd / && "${as_account[@]}" "$postgres_bin/initdb" -D "$postgres_data.new" -U postgres \
        --auth=trust --encoding=UTF8 --locale=C.UTF-8) </dev/null >"$dev/log/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -n 1 "$dev/log/initdb.log") (all of it in .dev/log/initdb.log)"
    mv -T "$postgres_data.new" "$postgres_data"
}

# clear_postgres_crash: after a kill -9, its children linger for a moment and its lock files for good.
clear_postgres_crash() {
    [[ -e $postgres_data/postmaster.pid ]] || return 0
    local tenths=20 children file pid
    while :; do
        # Each of them shows the name of its cluster; the brackets keep grep from finding itself.
        mapfile -t children < <(grep -lazE "^[p]ostgres: $checkout: " /proc/[0-9]*/cmdline 2>/dev/null | grep -oE '[0-9]+')
        ((${#children[@]})) || break
        # A busy one does not notice that its server died.
        ((tenths-- > 0)) || kill -s KILL "${children[@]}" 2>/dev/null || true
        sleep 0.1
    done
    # A number that a zombie or another program has by now would make Postgres refuse; a real Postgres it must see itself.
    for file in "$postgres_data/postmaster.pid" "$postgres_socket/.s.PGSQL.5432.lock"; do
        if pid=$(pid_in "$file") && ! runs "$pid" postgres; then rm -f "$file"; fi
    done
}

make_postgres_socket_folder() {
    if [[ -L $postgres_socket || ! -d $postgres_socket || $(stat -c %U "$postgres_socket") != "$account" ]]; then
        { rm -rf "$postgres_socket" && mkdir -m 700 "$postgres_socket"; } ||
            die "$postgres_socket belongs to someone else: remove it"
        give "$postgres_socket"
    fi
}

start_postgres() {
    local tenths=600 options=() setting server
    for setting in "${postgres_settings[@]}"; do options+=(-c "$setting"); done
    make_postgres_socket_folder
    clear_postgres_crash
    launch "$dev/log/postgres.log" / "${as_account[@]}" "$postgres_bin/postgres" -D "$postgres_data" "${options[@]}"
    server=$!
    until postgres_sql -d postgres -c 'select 1' >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null && ((tenths-- > 0)) ||
            die "PostgreSQL did not start: $(tail -n 1 "$dev/log/postgres.log") (all of it in .dev/log/postgres.log)"
        sleep 0.1
    done
}

postgres_up() {
    postgres_bin=$(postgres_bin)
    if [[ -z $postgres_bin ]]; then
        install_postgres
        postgres_bin=$(postgres_bin)
        choose_account
    fi
    postgres_data=$(reach postgres)
    if [[ -e $postgres_data/PG_VERSION ]]; then
        local version
        version=$(<"$postgres_data/PG_VERSION")
        postgres_bin=$(postgres_bin "$version")
        [[ -n $postgres_bin ]] ||
            die ".dev/postgres was made by PostgreSQL $version, which is not here: install it, or remove .dev/postgres to start over"
    else
        make_postgres_data
    fi
    give "$postgres_data"
    postgres_pid >/dev/null || start_postgres
    printf '%s\n' "$(postgres_pid)" >"$dev/run/postgres.pid"
    [[ -n $(postgres_sql -d postgres -c "select 1 from pg_database where datname = 'distribution'") ]] ||
        postgres_sql -d postgres -c 'create database distribution'
}

postgres_down() {
    local pid
    postgres_data=$(readlink -f -- "$dev/postgres")
    # SIGINT is Postgres's fast shutdown: it does not wait for its clients.
    if pid=$(postgres_pid); then
        stop "$pid" postgres INT 10
        say "stopped postgres"
    fi
    rm -f "$dev/run/postgres.pid"
    rmdir "$postgres_socket" 2>/dev/null || true
}
