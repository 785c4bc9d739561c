# Recognises, launches and stops processes. Sourced after paths.sh.
# Must stay true: nothing is signalled before it is known to be the program that its pidfile means.
# shellcheck shell=bash

# pid_in FILE: the process id on the file's first line, or nothing.
pid_in() {
    local pid=
    [[ -r $1 ]] && read -r pid <"$1" || true
    [[ $pid =~ ^[1-9][0-9]*$ ]] && printf '%s' "$pid"
}

# program_of PID: the file name of what PID runs; fails for the dead and for zombies.
program_of() {
    local path
    # Root inside a container may not read another user's exe link, but everyone may read a command line.
    path=$(readlink "/proc/$1/exe" 2>/dev/null) ||
        IFS= read -r -d '' path 2>/dev/null <"/proc/$1/cmdline" || return 1
    path=${path% (deleted)}
    printf '%s' "${path##*/}"
}

# runs PID PROGRAM [TEXT]: PID runs PROGRAM, with TEXT on its command line.
runs() {
    [[ $(program_of "$1" 2>/dev/null) == "$2" ]] || return 1
    [[ -z ${3:-} ]] || tr '\0' '\n' <"/proc/$1/cmdline" | grep -qxF -- "$3"
}

# launch LOG DIRECTORY COMMAND...: a daemon of its own session that holds nothing of the caller's open.
launch() {
    local log=$1 directory=$2 fd
    shift 2
    (
        for fd in "/proc/$BASHPID/fd"/*; do
            fd=${fd##*/}
            ((fd <= 2)) || eval "exec $fd>&-"
        done
        cd -- "$directory" || exit
        exec setsid "$@"
    ) </dev/null >>"$log" 2>&1 &
}

# stop PID PROGRAM SIGNAL SECONDS: asks, waits until it is gone, and after SECONDS no longer asks.
stop() {
    local pid=$1 program=$2 signal=$3 tenths=$(($4 * 10))
    kill -s "$signal" "$pid" 2>/dev/null || true
    while runs "$pid" "$program"; do
        if ((tenths-- <= 0)); then
            say "$program ($pid) did not stop in time: killing it"
            kill -s KILL "$pid" 2>/dev/null || true
            tenths=50
        fi
        sleep 0.1
    done
}
