# Everything here needs Go and make only; what `make test` needs beyond that it installs (scripts/ensure.sh).
SHELL := bash
.DEFAULT_GOAL := help

GO       ?= go
FUZZTIME ?= 20s
CRASH    ?= $(GO) run ./internal/crash
MUTANTS  ?= $(GO) run ./internal/mutants

# A clone that belongs to somebody else (as in CI) must build: git's refusal to answer is no build error.
export GOFLAGS := -buildvcs=false $(GOFLAGS)

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/symphony; no C compiler needed
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/symphony ./cmd/symphony

.PHONY: run
run: ## Run the emailqueue example on SQLite and print its report
	$(GO) run ./examples/emailqueue

.PHONY: test
test: ## Run all tests with the race detector, installing what they need (under 10 minutes)
	@scripts/ensure.sh race
	CGO_ENABLED=0 $(GO) build ./...
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout=9m ./...

.PHONY: lint
lint: ## go vet, staticcheck, gofumpt, govulncheck
	@scripts/ensure.sh go
	@scripts/lint.sh

.PHONY: fmt
fmt: ## Format all Go files with gofumpt
	@cd tools && GOBIN=$(CURDIR)/.cache/bin $(GO) install mvdan.cc/gofumpt
	.cache/bin/gofumpt -w .

.PHONY: verify
verify: ## Check that go.mod, go.sum and generated files are up to date
	@scripts/verify.sh

.PHONY: cover
cover: ## Run all tests and print the statement coverage of every function
	$(GO) test -coverpkg=./... -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (20s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

.PHONY: mutants
mutants: ## Run the transport suite against transports broken on purpose; it must catch each
	$(MUTANTS)

.PHONY: crash
crash: ## Kill and stop workers for minutes, then check the history for lost and doubled messages
	$(CRASH)

.PHONY: bench
bench: ## Compare with peers; results in bench/results/latest.jsonl
	cd bench && $(GO) run .
