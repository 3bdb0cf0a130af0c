#!/usr/bin/env bash
# Makes sure that what the tests need is there. Installs what is missing when it can (Debian or a
# relative of it, as root), says what it does, and fails with the name of the thing when it cannot.
# Running it again changes nothing.
#
#   scripts/ensure.sh go         the Go version of go.mod
#   scripts/ensure.sh race       what `go test -race` needs: a C compiler and its headers
#   scripts/ensure.sh postgres   the programs of a PostgreSQL server, 14 or newer; none is left running
#   scripts/ensure.sh zones      the time zones of the system
#   scripts/ensure.sh pgbouncer  the program pgbouncer, likewise
#   scripts/ensure.sh npm        npm, which fetches the servers of scripts/pg-all.sh
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'ensure: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# install THING PACKAGE...: installs Debian packages, or says which ones a person must install.
install() {
	local thing=$1
	shift
	command -v apt-get >/dev/null || die "$thing is missing and there is no apt-get here: install $* or what your system calls it"
	[ "$(id -u)" = 0 ] || die "$thing is missing and only root can install it: run 'sudo apt-get install $*'"
	say "$thing is missing: installing $* with apt-get"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq </dev/null >&2 || say "apt-get update failed: trying with the package lists that are here"
	apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2 || die "apt-get could not install $*: install $thing and try again"
}

go_() {
	command -v go >/dev/null || die "go is missing: install Go $(wanted_go) or newer, see https://go.dev/doc/install"
	# A toolchain that is too old, and may not fetch a newer one, says so itself, with both versions.
	go list -m >/dev/null || die "this Go cannot build the module: Go $(wanted_go) or newer is needed"
}

wanted_go() { awk '$1 == "go" { print $2 }' go.mod; }

# The compiler must compile and link against the C library: having `gcc` is not enough.
cc_works() {
	local out
	out=$(mktemp)
	printf '#include <stdlib.h>\n#include <pthread.h>\nint main(void) { return pthread_self() == 0; }\n' |
		$1 -x c - -o "$out" -pthread 2>/dev/null
	local status=$?
	rm -f "$out"
	return $status
}

race() {
	go_
	local cc
	cc=$(go env CC)
	cc_works "$cc" && return
	# A compiler that somebody chose is theirs to mend; the default one we can install.
	[ "$cc" = gcc ] || die "the C compiler '$cc' (from CC) does not work; the race detector needs one: unset CC to use gcc"
	install "a working C compiler (the race detector needs it)" gcc libc6-dev
	cc_works "$cc" || die "gcc was installed but does not compile a small program: the race detector needs it"
}

# postgres_in BIN...: is there a directory with a server that the tests can use? internal/pgserver looks in the same places.
postgres_in() {
	local bin version
	for bin in "$@"; do
		[ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] || continue
		version=$("$bin/postgres" --version | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')
		[ "${version:-0}" -ge 14 ] && return
	done
	return 1
}

postgres() {
	# A server that somebody chose is theirs to mend.
	if [ -n "${SYMPHONY_PG_BIN:-}" ]; then
		postgres_in "$SYMPHONY_PG_BIN" || die "there is no PostgreSQL server, 14 or newer, in $SYMPHONY_PG_BIN (from SYMPHONY_PG_BIN)"
		return
	fi
	postgres_in /usr/lib/postgresql/*/bin "$(pg_config --bindir 2>/dev/null)" && return
	no_cluster
	install "a PostgreSQL server (tests start one of their own)" postgresql
	postgres_in /usr/lib/postgresql/*/bin || die "the package postgresql was installed but has no PostgreSQL 14 or newer: install one and set SYMPHONY_PG_BIN to the directory of its programs"
}

# Debian's package makes a database and starts it as a service unless this file says no. What it says already stays.
no_cluster() {
	local conf=/etc/postgresql-common/createcluster.conf
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
	grep -qs '^[[:space:]]*create_main_cluster' "$conf" && return
	say "writing 'create_main_cluster = false' to $conf: the tests need no service"
	mkdir -p "${conf%/*}"
	echo 'create_main_cluster = false' >>"$conf"
}

# zones_in DIR...: is there a directory of time zones? internal/dst looks in the same places.
zones_in() {
	local dir
	for dir in "$@"; do
		[ -n "$dir" ] && [ -f "$dir/Europe/Berlin" ] && return
	done
	return 1
}

zones() {
	local dirs=("${ZONEINFO:-}" /usr/share/zoneinfo /usr/share/lib/zoneinfo /usr/lib/locale/TZ /etc/zoneinfo)
	zones_in "${dirs[@]}" && return
	install "the time zone data" tzdata
	zones_in "${dirs[@]}" || die "the package tzdata was installed but has no Europe/Berlin: install the time zone data, or set ZONEINFO to its directory"
}

# internal/pgserver looks in the same places. At runlevel 1 Debian starts no service that it installs.
pgbouncer() {
	if [ -n "${SYMPHONY_PGBOUNCER:-}" ]; then
		[ -x "$SYMPHONY_PGBOUNCER" ] || die "there is no program $SYMPHONY_PGBOUNCER (from SYMPHONY_PGBOUNCER)"
		return
	fi
	type -P pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] && return
	RUNLEVEL=1 install "PgBouncer (tests start one of their own)" pgbouncer
	[ -x /usr/sbin/pgbouncer ] || die "the package pgbouncer was installed but has no /usr/sbin/pgbouncer: install one and set SYMPHONY_PGBOUNCER to it"
}

npm_() {
	command -v npm >/dev/null && command -v node >/dev/null || install "npm (it fetches servers to test with)" npm
}

case "${1:-}" in
go) go_ ;;
race) race ;;
postgres) postgres ;;
zones) zones ;;
pgbouncer) pgbouncer ;;
npm) npm_ ;;
*) die "usage: scripts/ensure.sh go|race|postgres|zones|pgbouncer|npm" ;;
esac
