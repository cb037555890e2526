# Everything here works on the whole workspace: go's package pattern "work"
# stands for all packages of the modules that go.work lists.

MODULE := github.com/stateio/stateio

# Modules that need not build for other systems: bench compares with engines
# that some of them lack.
NO_CROSS := $(MODULE)/bench
CROSS    := darwin/arm64 windows/amd64 linux/386
# Systems for which only the root module is tried: what needs no locks works there.
# Plan 9 lacks names that the tests need.
CROSS_ROOT  := js/wasm wasip1/wasm aix/ppc64
CROSS_BUILD := plan9/amd64

# Another workspace in the environment, or none, would leave out most of the modules: go vet
# work, and all that asks go list, would pass all the same.
unexport GOWORK

# The tools' versions are pinned in modules of their own, outside the
# workspace, so nothing has to be installed. `go tool -n` builds one and
# prints where it is.
tool = "$$(GOWORK=off go -C $(1) tool -n $(2))"

TESTFLAGS ?=
BENCH     ?= .
TIMEOUT   ?= 20m

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# go vet is a part of make lint, for all packages: here it would load them again.
GOTEST = go run ./tools/gotest
HOW    = -vet=off -timeout $(TIMEOUT) $(TESTFLAGS)

.PHONY: test
test: ## the tests of all modules, sweeps sampled: two or three minutes, once they are compiled
	@$(GOTEST) -note "most of each sweep and nine of ten planted bugs: make test-all has all" \
		$(HOW) -short -tags nopeers work

.PHONY: test-all
test-all: ## the same at full length, with the engines that bench compares
	@$(GOTEST) $(HOW) work

# The planted bugs and what the laboratory runs are programs of their own, which are built
# without the race detector. The tests of these names try every bit, cut or place from one
# goroutine: others run the same code from several, and the detector makes it 20 times slower.
NO_RACE := /(crashtest/planted|lab|lab/.*|bench|tools/.*|examples/migrating.*)$$
SWEEPS  := (Every[A-Z]|Flipped|Misplaced|Garbage|TornHeaders|Subset|OfTheKernel|Rewind|Salvage|RepairSaves)
SWEEPS  := ^Test.*($(SWEEPS)|PowerCuts|LostPages|WholeBlocks|AppendFrom|AMapShows|ALogLeavesSpace|MapOfAStateFile)
.PHONY: race
race: ## the tests under the race detector, without sweeps by one goroutine (SHORT= SWEEPS='^$$' for all)
	@# Else each program that a test starts sleeps for a second when it ends.
	@all=$$(go list work) && packages=$$(echo "$$all" | grep -Ev '$(NO_RACE)') && \
	GORACE=atexit_sleep_ms=0 $(GOTEST) -note "tests whose names match $(SWEEPS)" \
		$(HOW) -race $(SHORT) -skip '$(SWEEPS)' -tags nopeers $$packages
SHORT := -short

.PHONY: test-32
test-32: ## the tests of the root module as a 32-bit program, sweeps sampled
	tools/test-32 -vet=off -timeout $(TIMEOUT) $(SHORT) $(TESTFLAGS)

.PHONY: test-wasm
test-wasm: ## the tests of logio, stateio and more as WebAssembly (wasip1), sweeps sampled
	tools/test-wasm -vet=off -timeout $(TIMEOUT) $(SHORT) $(TESTFLAGS)

.PHONY: test-wine
test-wine: ## the tests of the root module for Windows, in Wine (PKG='./store ./logio')
	tools/test-wine -vet=off -timeout $(TIMEOUT) $(SHORT) $(TESTFLAGS) $(PKG)

.PHONY: test-oldest
test-oldest: ## the tests of the root module with the oldest Go and modules that it takes
	tools/test-oldest -timeout $(TIMEOUT) $(SHORT) $(TESTFLAGS)

.PHONY: vet-oldest
vet-oldest: # go vet of the root module with the same
	tools/test-oldest -vet

# At times the fuzzer takes the end of its time for a failure, without an input that
# fails: then the target has to pass in a second run.
.PHONY: fuzz
fuzz: ## each fuzz target of each package for TIME=30s (or a count: TIME=100000x)
	@set -e; \
	found=$$(go test -vet=off -tags nopeers -list '^Fuzz' work); \
	targets=$$(echo "$$found" | awk '/^Fuzz/ { names[n++] = $$1 } \
		$$1 == "ok" { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }'); \
	test -n "$$targets" || { echo "make fuzz: no fuzz target found" >&2; exit 1; }; \
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	run() { \
		go test -vet=off -run '^$$' -fuzz "^$$2\$$" -fuzztime $(or $(TIME),30s) -fuzzminimizetime 5x "$$1" </dev/null 2>&1 | tee "$$log"; \
		grep -q "^ok[[:space:]]*$$1[[:space:]]" "$$log"; \
	}; \
	timedout() { grep -qx ' *context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log"; }; \
	echo "$$targets" | while read -r package name; do \
		echo "fuzz $$package $$name"; \
		run "$$package" "$$name" || { timedout && run "$$package" "$$name"; } || exit 1; \
	done

.PHONY: crash
crash: ## the crash harness (TIME=3h, COUNT=states, PKG=./store, FROM=first seed, SEED=of a failure to replay)
	@set -e; \
	found=$$(go test -vet=off -tags nopeers -list '^TestCrash' $(or $(PKG),work)); \
	packages=$$(echo "$$found" | awk '/^TestCrash/ { n++ } $$1 == "ok" { if (n) print $$2; n = 0 }'); \
	test -n "$$packages" || { echo "make crash: no TestCrash found" >&2; exit 1; }; \
	STATEIO_CRASH_TIME=$(TIME) STATEIO_CRASH_COUNT=$(COUNT) STATEIO_CRASH_SEED=$(SEED) STATEIO_CRASH_FROM=$(FROM) \
	go test -run '^TestCrash' -v -count 1 -timeout 0 $(TESTFLAGS) $$packages

.PHONY: cluster
cluster: ## the cluster tests over processes, faults for TIME=10m each, and KILLS=50 of leaders
	STATEIO_CLUSTER_TIME=$(or $(TIME),10m) STATEIO_CLUSTER_KILLS=$(or $(KILLS),50) \
	go test -C cluster -run 'Linearizable|Counter|Failover' -v -count 1 -timeout 0 $(TESTFLAGS) .
	go run ./examples/cluster -kills $(or $(KILLS),50)

.PHONY: bench
bench: ## all benchmarks, each next to its bound (BENCH=regexp, COUNT=6 for benchstat)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(or $(COUNT),1) -timeout 0 $(TESTFLAGS) work

.PHONY: cover
cover: ## coverage by statements of each package, cover.out and cover.html
	go test -timeout $(TIMEOUT) -coverprofile cover.out $(TESTFLAGS) work
	go tool cover -html cover.out -o cover.html
	@go tool cover -func cover.out | tail -n 1

.PHONY: cover-check
cover-check: ## coverage of logio, stateio, store and its internal/storedir: at least 95 % of the statements of each
	go test -vet=off -short -timeout $(TIMEOUT) -coverpkg ./logio,.,./store,./internal/storedir -coverprofile cover.out $(TESTFLAGS) . ./logio ./inspect ./statetest ./store ./internal/storedir
	@awk -v min=95 -f tools/coverage.awk cover.out

.PHONY: shots
shots: ## the pictures of docs/VIEW.md, by a headless Chromium
	STATEIO_SHOTS="$(CURDIR)/docs/img" go test -C view -run '^TestShots$$' -count 1 -timeout $(TIMEOUT) $(TESTFLAGS) .

.PHONY: rules
rules: ## the alerts and queries of modules prom and cluster/nodeprom in Prometheus' own engine, which takes minutes to compile
	GOWORK=off go -C prom/ruletest test -timeout $(TIMEOUT) $(TESTFLAGS) ./...

.PHONY: pictures
pictures: ## docs/img/kill9.png, by a headless Chromium
	@mkdir -p docs/img
	KILL9_PICTURE="$(CURDIR)/docs/img/kill9.png" go test -C examples/kill9 -count 1 -run '^TestPicture$$' .

.PHONY: mutate
mutate: ## planted bugs that no test notices (PKG=./logio, SAMPLE=0.1, SEED=)
	go run ./tools/mutate -sample $(or $(SAMPLE),1) -seed $(or $(SEED),1) $(PKG)

.PHONY: fmt
fmt: ## format every Go file
	$(call tool,tools,gofumpt) -w .
	$(call tool,tools,goimports) -w .

.PHONY: lint
lint: fmt-check vet golangci deadcode ## formatting, go vet, golangci-lint (with staticcheck), deadcode

.PHONY: fmt-check
fmt-check:
	@files=$$($(call tool,tools,gofumpt) -l . && $(call tool,tools,goimports) -l .) && test -z "$$files" || \
		{ echo "run make fmt for:"; echo "$$files" | sort -u; exit 1; } >&2

.PHONY: vet
vet:
	go vet work

.PHONY: golangci
golangci: # its first run compiles it, which takes a few minutes; it waits for one of an editor's
	@lint=$(call tool,tools/lint,golangci-lint) && dirs=$$(go list -m -f '{{.Dir}}') && \
	echo "$$dirs" | { status=0; while read -r dir; do \
		echo "golangci-lint in $$dir"; \
		(cd "$$dir" && "$$lint" run --allow-serial-runners ./...) </dev/null || status=1; \
	done; exit $$status; }

.PHONY: deadcode
deadcode: # what neither a program nor a test reaches
	@found=$$($(call tool,tools,deadcode) -test work) && test -z "$$found" || { echo "$$found"; exit 1; } >&2

.PHONY: vet-cross
vet-cross: ## go vet for the other systems
	@set -e; for target in $(CROSS); do \
		export GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0; \
		echo "go vet for $$target"; \
		all=$$(go list work); packages=$$(echo "$$all" | grep -v '^$(NO_CROSS)\(/\|$$\)'); \
		go vet $$packages; \
	done; \
	for target in $(CROSS_ROOT); do \
		echo "go vet of the root module for $$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0 go vet ./...; \
	done; \
	for target in $(CROSS_BUILD); do \
		echo "go build of the root module for $$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0 go build ./...; \
	done

.PHONY: graph
graph: ## the import graph in CONTRIBUTING.md, as the code is
	STATEIO_WRITE_GRAPH=1 go test -count 1 -run TestTheImportGraph .

.PHONY: tidy
tidy: ## go mod tidy in every module, and a complete go.work.sum
	@tools/tidy

.PHONY: tidy-check
tidy-check: # each module must also be whole without the workspace
	@tools/tidy -check

.PHONY: clean-check
clean-check: ## what go commands leave in the checkout: nothing
	@tools/clean-check

.PHONY: release-check
release-check: ## install the commands and the library as users will, from a proxy of files
	@tools/release-check

.PHONY: dist
dist: ## the command for each system into dist/, reproducible, with checksums and lists of modules
	@tools/dist

.PHONY: dist-check
dist-check: ## that two builds of those are the same, byte for byte (SYSTEMS="linux/amd64 ...")
	@SYSTEMS="$(SYSTEMS)" tools/dist -check

.PHONY: api-check
api-check: ## what the modules export against the last release, by apidiff
	@tools/api-check

.PHONY: recording
recording: ## docs/RECORDING.md: what a newcomer sees, from a fresh clone and nothing compiled
	@tools/recording >docs/RECORDING.md.new && mv docs/RECORDING.md.new docs/RECORDING.md

.PHONY: check
check: ## what CI runs
	.ci/run
