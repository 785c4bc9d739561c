# The account that Postgres and NATS run under, and the folders it can reach. Sourced after paths.sh.
# Must stay true: started as root, no server runs as root (Postgres refuses to).
# shellcheck shell=bash

as_account=()

# choose_account: sets `account` and `as_account`, the words that run a command under it.
choose_account() {
    account=$(id -un)
    ((EUID == 0)) || return 0
    local name
    for name in postgres nobody distribution-dev; do
        if id -u "$name" >/dev/null 2>&1; then
            account=$name
            break
        fi
    done
    if [[ $account == root ]]; then
        useradd --system --no-create-home --shell /usr/sbin/nologin distribution-dev ||
            die "root needs an unprivileged account for the servers, and useradd could not make one"
        account=distribution-dev
    fi
    if command -v setpriv >/dev/null; then
        as_account=(setpriv "--reuid=$(id -u "$account")" "--regid=$(id -g "$account")" --init-groups --)
    else
        as_account=(runuser -u "$account" --)
    fi
    (cd / && "${as_account[@]}" true) || die "root can't run commands as $account here: start as an ordinary user"
}

# reach NAME: prints the real folder behind .dev/NAME, where the account may go; its parent exists, it may not.
reach() {
    local place=$dev/$1 base=/var/tmp/$checkout
    if (cd / && "${as_account[@]}" test -x "$dev"); then
        # A link here points to another checkout's data, or to a time when this one was out of reach.
        [[ ! -L $place ]] || rm -f "$place"
        printf '%s' "$place"
        return
    fi
    [[ -L $place || ! -d $place ]] || die "$account can't reach $place any more: move the checkout, or remove that folder"
    # Kept over a reboot, unlike /tmp.
    mkdir -p "$base"
    [[ -O $base && ! -L $base ]] || die "$base belongs to someone else: remove it"
    chmod 755 "$base"
    ln -sfn "$base/$1" "$place"
    printf '%s/%s' "$base" "$1"
}

# give FOLDER: makes the account its owner.
give() {
    [[ $(stat -c %U "$1") == "$account" ]] || chown -R "$account:" "$1" ||
        die "$1 belongs to $(stat -c %U "$1"), not to $account: remove it or use that account"
}
