#!/usr/bin/env bash
# Runs every linter over every module of the repository and reports all that they find, not only the
# first. The linters are pinned in tools/go.mod and built into .cache/bin (half a second when they are
# there already).
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.cache/bin
failed=()

(cd tools && GOBIN=$bin go install tool) || { echo "lint: cannot build the linters of tools/go.mod" >&2; exit 1; }

# check NAME COMMAND...: runs one linter and keeps its name if it complains.
check() {
	local name=$1
	shift
	"$@" || failed+=("$name")
}

# lists FILES: fails with the list when a formatter names files.
unformatted() {
	local files
	files=$("$bin/gofumpt" -l . 2>&1) || { echo "$files"; return 1; }
	[ -z "$files" ] || { printf 'gofumpt would change (run make fmt):\n%s\n' "$files"; return 1; }
}

# The database of known vulnerabilities is a web site. Not reaching it says nothing about this code, so
# that alone is no failure; it is said, so that nobody takes silence for a clean answer.
vulnerabilities() {
	local out status
	out=$(timeout 300 "$bin/govulncheck" ./... 2>&1)
	status=$?
	if [ $status -ne 0 ] && [ $status -ne 3 ] && grep -q 'vuln\.go\.dev' <<<"$out"; then
		echo "govulncheck: SKIPPED, vuln.go.dev cannot be reached ($(grep -o 'Get "https.*' <<<"$out" | head -n 1))"
		return 0
	fi
	[ $status -eq 0 ] || echo "$out"
	return $status
}

for module in . bench; do
	[ -f "$module/go.mod" ] || continue
	pushd "$module" >/dev/null || exit 1
	check "go vet ($module)" go vet ./...
	check "staticcheck ($module)" "$bin/staticcheck" ./...
	check "govulncheck ($module)" vulnerabilities
	popd >/dev/null || exit 1
done
check gofumpt unformatted # walks into bench/ itself

if [ ${#failed[@]} -gt 0 ]; then
	printf 'lint: failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
	exit 1
fi
echo "lint: ok"
