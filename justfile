# What a developer does here. `./justw` alone lists it; nothing has to be installed first.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

# The query macros read .sqlx/; only `just sqlx` asks a database.
export SQLX_OFFLINE := "true"

programs := "${CARGO_TARGET_DIR:-target}/debug"

[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Sandbox, service, 200 villas and live changes (--fresh starts over, --check verifies and ends)
demo *ARGS: up build
    @dev/with "{{ programs }}/demo" "$@"

# Every test, on the real Postgres and NATS; arguments go to the test runner
test *ARGS: up build
    @dev/with dev/tests "$@"

# Measure against BullMQ and Postgres: sync, window, latency, fairness and more (bench/README.md)
bench *ARGS:
    @dev/bench "$@"

# Try to break the service, by a seed that repeats, and check what is left (torture/README.md)
torture *ARGS: build
    @dev/torture "{{ programs }}/torture" "$@"

# Before a push: format, lints, licences and advisories, unused dependencies, tests
check: fmt-check lint deny machete test

# Start Postgres and NATS under .dev/
up:
    @dev/up

# Stop everything that was started; the data stays
down:
    @dev/down

# Print the addresses, for eval
env: up
    @dev/env

# The service's command line, with the addresses set: those of the demo where there is one
distribution *ARGS: up build
    @dev/distribution "{{ programs }}/distribution" "$@"

# Check every dependency of the service and say what to do
doctor: up build
    @dev/distribution "{{ programs }}/distribution" doctor

# Write the database into one file, while it is in use (ON_CALL.md says what else to keep)
backup *ARGS: up
    @dev/addressed dev/backup "$@"

# Put such a file into a database that is empty, or with --replace beside what is there and in its place
restore *ARGS: up build
    @dev/addressed dev/restore "{{ programs }}/distribution" "$@"

# The Hostaway sandbox alone
sandbox *ARGS: build
    @"{{ programs }}/hostaway-sandbox" "$@"

# Build the programs
build:
    @cargo build --workspace --bins

# Format the sources
fmt:
    @cargo fmt --all

# Are the sources formatted?
fmt-check:
    @cargo fmt --all --check

# Clippy, with every warning an error
lint:
    @cargo clippy --workspace --all-targets -- -D warnings

# Licences, advisories, duplicates and sources of the dependencies
deny:
    @dev/deny

# A bill of materials of the service: every crate and browser library, with version and licence (CycloneDX)
sbom *ARGS:
    @dev/sbom "$@"

# The binary as it is shipped, with the list of its dependencies in it
release *ARGS:
    @dev/release "$@"

# Have outside tools look at deploy/: container file, systemd unit, Kubernetes manifests
deploy-check:
    @dev/deploy-check

# Made-up input for everything that comes in from outside: [TARGET] [--runs N], 1,000,000 each by default
fuzz *ARGS:
    @dev/fuzz "$@"

# Dependencies that nothing uses
machete:
    @tool=$(dev/cargo-tool cargo-machete 0.9.2) && "$tool"

# Regenerate .sqlx/ after a migration or a query has changed
sqlx: up
    @dev/with dev/sqlx
