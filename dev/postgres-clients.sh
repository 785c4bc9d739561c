# Finds pg_dump, pg_restore and psql for the server of DATABASE_URL, and talks to it. Sourced after paths.sh.
# Must stay true: the programs are not older than the server, whose dumps they could not read.
# shellcheck shell=bash

# open_postgres: sets `clients`, the folder of the programs, `server`, its version as it counts, and libpq's variables.
open_postgres() {
    local address folder folders version newest=0
    address=$("$here/postgres-address") || exit 1
    eval "$address"
    database=$PGDATABASE
    folders=(/usr/lib/postgresql/*/bin /usr/pgsql-*/bin)
    ! folder=$(command -v pg_dump) || folders+=("$(dirname -- "$folder")")
    clients=
    for folder in "${folders[@]}"; do
        [[ -x $folder/pg_dump && -x $folder/pg_restore && -x $folder/psql ]] || continue
        version=$("$folder/pg_dump" --version | grep -oE '[0-9]+' | head -n 1)
        if ((version > newest)); then
            newest=$version
            clients=$folder
        fi
    done
    [[ -n $clients ]] || die "pg_dump, pg_restore and psql are missing: install PostgreSQL's client programs"
    server=$(on_server 'show server_version_num') ||
        die "the Postgres of DATABASE_URL cannot be reached, or not its database postgres"
    ((newest >= server / 10000)) ||
        die "the server is PostgreSQL $((server / 10000)), the newest client programs here are of $newest: install newer ones"
}

# sql DATABASE STATEMENT...: rows, columns separated by a tab.
sql() {
    # A time-out of the database or the role is not meant for this.
    local name=$1 statement commands=(-c 'set statement_timeout = 0')
    shift
    for statement in "$@"; do commands+=(-c "$statement"); done
    "$clients/psql" -XAtqw -F $'\t' -v ON_ERROR_STOP=1 -d "$name" "${commands[@]}" </dev/null
}

# on_server STATEMENT...: in the server's own database, so that ours may be missing or be renamed.
on_server() { sql postgres "$@"; }

# exists NAME: there is a database of this name.
exists() { [[ -n $(on_server "select 1 from pg_database where datname = $(literal "$1")") ]]; }

literal() { printf "'%s'" "${1//\'/\'\'}"; }

quoted() { printf '"%s"' "${1//\"/\"\"}"; }

# events_of DATABASE: how many events, and the position of the last one.
events_of() { sql "$1" 'select count(*), coalesce(max(position), 0) from events'; }
