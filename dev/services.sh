# Postgres and NATS together, and which of them are ours to run. Sourced by up, down and env.
# Must stay true: a server that the caller names in DATABASE_URL or NATS_URL is neither installed nor started.
# shellcheck shell=bash

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
. "$here/paths.sh"
. "$here/tools.sh"
. "$here/process.sh"
. "$here/account.sh"
. "$here/postgres-install.sh"
. "$here/postgres.sh"
. "$here/nats.sh"

# An address that `dev/env` gave to the caller's shell is still ours.
own_postgres() { [[ -z ${DATABASE_URL:-} || $DATABASE_URL == "$postgres_url" ]]; }
own_nats() { [[ -z ${NATS_URL:-} || $NATS_URL == "$(nats_url)" ]]; }
