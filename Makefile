# Everything here works on the whole workspace: go's package pattern "work"
# stands for all packages of the modules that go.work lists.

MODULE := github.com/stateio/stateio

# Modules that need not build for other systems: bench compares with engines
# that some of them lack.
NO_CROSS := $(MODULE)/bench
CROSS    := darwin/arm64 windows/amd64 linux/386

# The tools' versions are pinned in modules of their own, outside the
# workspace, so nothing has to be installed. `go tool -n` builds one and
# prints where it is.
tool = "$$(GOWORK=off go -C $(CURDIR)/$(1) tool -n $(2))"

TESTFLAGS ?=
BENCH     ?= .
TIMEOUT   ?= 20m

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: test
test: ## all tests of all modules (TESTFLAGS=-v)
	@go test -timeout $(TIMEOUT) $(TESTFLAGS) work

.PHONY: race
race: ## the same under the race detector, the long sweeps sampled (SHORT= for all of them)
	go test -race -timeout $(TIMEOUT) $(SHORT) $(TESTFLAGS) work
SHORT := -short

.PHONY: test-32
test-32: ## the tests of the root module as a 32-bit program, the long sweeps sampled
	tools/test-32 -timeout $(TIMEOUT) $(SHORT) $(TESTFLAGS)

# At times the fuzzer takes the end of its time for a failure, without an input that
# fails: then the target has to pass in a second run.
.PHONY: fuzz
fuzz: ## each fuzz target of each package for TIME=30s (or a count: TIME=100000x)
	@set -e; \
	found=$$(go test -list '^Fuzz' work); \
	targets=$$(echo "$$found" | awk '/^Fuzz/ { names[n++] = $$1 } \
		$$1 == "ok" { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }'); \
	test -n "$$targets" || { echo "make fuzz: no fuzz target found" >&2; exit 1; }; \
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	run() { \
		go test -run '^$$' -fuzz "^$$2\$$" -fuzztime $(or $(TIME),30s) -fuzzminimizetime 5x "$$1" </dev/null 2>&1 | tee "$$log"; \
		grep -q "^ok[[:space:]]*$$1[[:space:]]" "$$log"; \
	}; \
	timedout() { grep -qx ' *context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log"; }; \
	echo "$$targets" | while read -r package name; do \
		echo "fuzz $$package $$name"; \
		run "$$package" "$$name" || { timedout && run "$$package" "$$name"; } || exit 1; \
	done

.PHONY: crash
crash: ## the crash harness (TIME=3h, COUNT=states, SEED=of a failure to replay)
	@set -e; \
	found=$$(go test -list '^TestCrash' work); \
	packages=$$(echo "$$found" | awk '/^TestCrash/ { n++ } $$1 == "ok" { if (n) print $$2; n = 0 }'); \
	test -n "$$packages" || { echo "make crash: no TestCrash found" >&2; exit 1; }; \
	STATEIO_CRASH_TIME=$(TIME) STATEIO_CRASH_COUNT=$(COUNT) STATEIO_CRASH_SEED=$(SEED) \
	go test -run '^TestCrash' -v -count 1 -timeout 0 $(TESTFLAGS) $$packages

.PHONY: bench
bench: ## all benchmarks, each beside its bound (BENCH=regexp, COUNT=6 for benchstat)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(or $(COUNT),1) -timeout 0 $(TESTFLAGS) work

.PHONY: cover
cover: ## coverage by statements of each package, cover.out and cover.html
	go test -timeout $(TIMEOUT) -coverprofile cover.out $(TESTFLAGS) work
	go tool cover -html cover.out -o cover.html
	@go tool cover -func cover.out | tail -n 1

.PHONY: cover-check
cover-check: ## coverage of logio, stateio and store: at least 95 % of the statements of each
	go test -short -timeout $(TIMEOUT) -coverpkg ./logio,.,./store -coverprofile cover.out $(TESTFLAGS) . ./logio ./inspect ./statetest ./store
	@awk -v min=95 -f tools/coverage.awk cover.out

.PHONY: mutate
mutate: ## planted bugs that no test notices (PKG=./logio, SAMPLE=0.1, SEED=)
	go run ./tools/mutate -sample $(or $(SAMPLE),1) -seed $(or $(SEED),1) $(PKG)

.PHONY: fmt
fmt: ## format every Go file
	$(call tool,tools,gofumpt) -w .
	$(call tool,tools,goimports) -w .

.PHONY: lint
lint: fmt-check vet staticcheck golangci deadcode ## formatting, go vet, staticcheck, golangci-lint, deadcode

.PHONY: fmt-check
fmt-check:
	@files=$$($(call tool,tools,gofumpt) -l . && $(call tool,tools,goimports) -l .) && test -z "$$files" || \
		{ echo "run make fmt for:"; echo "$$files" | sort -u; exit 1; } >&2

.PHONY: vet
vet:
	go vet work

.PHONY: staticcheck
staticcheck:
	@$(call tool,tools,staticcheck) work

.PHONY: golangci
golangci: # its first run compiles it, which takes a few minutes
	@status=0; for dir in $$(go list -m -f '{{.Dir}}'); do \
		echo "golangci-lint in $$dir"; \
		(cd "$$dir" && $(call tool,tools/lint,golangci-lint) run ./...) || status=1; \
	done; exit $$status

.PHONY: deadcode
deadcode: # what neither a program nor a test reaches
	@found=$$($(call tool,tools,deadcode) -test work) && test -z "$$found" || { echo "$$found"; exit 1; } >&2

.PHONY: vet-cross
vet-cross: ## go vet for the other systems
	@set -e; for target in $(CROSS); do \
		export GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0; \
		echo "go vet for $$target"; \
		packages=$$(go list work | grep -v '^$(NO_CROSS)\(/\|$$\)'); \
		go vet $$packages; \
	done

.PHONY: tidy
tidy: ## go mod tidy in every module
	@set -e; for dir in $$(go list -m -f '{{.Dir}}'); do GOWORK=off go -C "$$dir" mod tidy; done

.PHONY: tidy-check
tidy-check: # each module must also be whole without the workspace
	@set -e; for dir in $$(go list -m -f '{{.Dir}}'); do \
		echo "go mod tidy, go build in $$dir"; \
		GOWORK=off go -C "$$dir" mod tidy -diff; \
		GOWORK=off go -C "$$dir" build -o /dev/null ./...; \
	done

.PHONY: check
check: ## what CI runs
	.ci/run
