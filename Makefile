# Every stage runs in each of these directories; nested modules are added here. Each is tested as its
# go.mod has it, whatever go.work says: that one is for typing commands at the root.
MODULES := . cmd/sessioncache interop redisstore promcollector otelmetrics examples/prometheus

# What users import or run; the others are tests.
PRODUCT := . cmd/sessioncache redisstore promcollector otelmetrics

# The harness of the comparisons, whose many peers would make every stage slow: its code is checked
# and its tests run, without the race detector and for this platform only.
HARNESS := benchmarks

# What the race detector has something to find in. Nested modules run in full.
RACE := ./fastcache/... ./index/... ./internal/buckets/... ./timerwheel/... ./session/... ./tlscache/... ./internal/otpport/...

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GREMLINS    := github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0

# Settings for one run, as in: make fuzz FUZZTIME=30s
FUZZ     ?= ^Fuzz
FUZZTIME ?= 10m
PARALLEL ?= # fuzz workers; empty: one per processor
BENCH    ?= .
COUNT    ?= 6
MUTANTS  ?= .
BLIND    ?= timerwheel internal/buckets index fastcache
SOAK     ?= 30m
LIN_HISTORIES ?= 20000
SKIP     ?= # parts to leave out: curl nginx openssl otp prometheus redis valkey
export SKIP

SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# each runs the command $(2) in every module, or in those that $(3) lists, under a heading and
# with the time it took.
define each
@set -uo pipefail; start=$$SECONDS; \
for module in $(or $(3),$(MODULES)); do \
	printf '\n== %s (module %s)\n' '$(1)' "$$module"; \
	( cd "$$module" && export GOWORK=off && $(2) ) || exit 1; \
done; \
echo "-- $(1): $$((SECONDS - start)) s"
endef

# beside is each for tests: those of the modules $(3), which wait for servers most of the time, run beside those of the main
# one. What they print comes when they have ended.
define beside
@set -uo pipefail; start=$$SECONDS; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
run() { printf '\n== %s (module %s)\n' '$(1)' "$$module"; ( cd "$$module" && export GOWORK=off && $(2) ); }; \
( for module in $(3); do run || exit 1; done ) >"$$log" 2>&1 & others=$$!; \
module=.; failed=0; run || failed=1; \
wait "$$others" || failed=1; cat "$$log"; \
echo "-- $(1): $$((SECONDS - start)) s"; exit "$$failed"
endef

define gofmt
files=$$(gofmt -l .) && [ -z "$$files" ] || { printf 'gofmt -w would change:\n%s\n' "$$files"; exit 1; }
endef

# The errors of sockets are a file per system in cmd/sessioncache. The one of darwin is built for arm64.
define cross
for system in plan9 windows; do \
	GOOS=$$system go build -o /dev/null . || exit 1; \
done
endef

# Nested modules test programs that go test does not see, so what it remembers says nothing.
define unit
go test -timeout 0 $$([ "$$module" = . ] || echo -count=1) ./...
endef

# go test is silent until a package has ended, so what it runs is shown every BEAT seconds.
BEAT := 20
define race
if [ "$$module" = . ]; then packages='$(RACE)'; else packages=./...; fi; \
me=$$BASHPID; ( while sleep $(BEAT) && kill -0 $$me; do \
	printf '   after %d s: %s\n' "$$((SECONDS - start))" \
		"$$(ps -o comm= --ppid "$$(pgrep -d, -xP $$me go)" | sort | uniq | tr '\n' ' ')"; \
done 2>/dev/null ) & beat=$$!; trap 'kill $$beat' EXIT; \
go test -timeout 0 -race -count=1 $$packages
endef

# go test fuzzes one target of one package at a time, so list them first.
define fuzz
targets=$$(go test -list '$(FUZZ)' ./... | awk '/^Fuzz/ { name[n++] = $$1 } \
	/^ok/ { for (i = 0; i < n; i++) print $$2 "." name[i]; n = 0 }') || exit 1; \
for target in $$targets; do \
	printf '\n-- %s for $(FUZZTIME)\n' "$$target"; \
	go test -timeout 0 -run '^$$' -fuzz "^$${target##*.}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x \
		$(addprefix -parallel=,$(PARALLEL)) "$${target%.*}" || exit 1; \
done
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: tools lint vet unit narrow walk race ## everything a change must pass (the one test command)
	@printf '\n== every stage passed\n'

# No other program is needed, and what go test remembers counts.
.PHONY: check
check: ## the quick tier for daily work: gofmt, vet, staticcheck, unit tests -short of the main module, house rules
	$(call each,gofmt,$(gofmt),.)
	$(call each,vet,go vet ./...,.)
	$(call each,staticcheck,go run $(STATICCHECK) ./...,.)
	$(call each,unit -short,go test -timeout 0 -short ./...,.)

.PHONY: tools
tools: ## find or install what the tests need
	@printf '\n== tools\n'; scripts/tools.sh

.PHONY: lint
lint: ## gofmt and staticcheck
	$(call each,gofmt,$(gofmt),$(MODULES) $(HARNESS))
	$(call each,staticcheck,go run $(STATICCHECK) ./...,$(MODULES) $(HARNESS))
	$(call each,staticcheck walk,go run $(STATICCHECK) -tags sessioncache_walk ./fastcache,.)

.PHONY: vet
vet: ## go vet, also for 32 bits, and builds for arm64 and other systems
	$(call each,vet,go vet ./...,$(MODULES) $(HARNESS))
	$(call each,vet 386,GOARCH=386 go vet ./...,$(PRODUCT))
	$(call each,build darwin/arm64,GOOS=darwin GOARCH=arm64 go build -o /dev/null ./...,$(PRODUCT))
	$(call each,cross,$(cross),cmd/sessioncache)

# What waits for servers most of the time is run once, with the race detector.
ONCE := redisstore promcollector

.PHONY: unit
unit: ## all tests, examples, fuzz corpora and policies
	$(call beside,unit,$(unit),$(filter-out . $(ONCE),$(MODULES)) $(HARNESS))

# Pointers of four bytes change where everything lies. A kernel may refuse 32-bit programs.
NARROW := ./internal/buckets ./index ./timerwheel ./fastcache ./session

.PHONY: narrow
narrow: ## the structures with pointers of 32 bits
	@printf '\n== narrow\n'
	@if GOARCH=386 go test -run '^$$' ./internal/buckets >/dev/null 2>&1; then \
		GOARCH=386 go test -timeout 0 -short $(NARROW); \
	else \
		echo 'this machine runs no programs for 386'; \
	fi

# Tests of random operations and of storms, with the shard's invariants walked at every unlock.
WALK := ^Test(EveryPromise|Answers|LateTimers|.*Histories(Are|With)|.*(GrowAndShrink|WavesExpire))

.PHONY: walk
walk: ## random runs, with the invariants walked all along
	@printf '\n== walk\n'
	go test -timeout 0 -short -count=1 -tags sessioncache_walk -run '$(WALK)' ./fastcache

# Uncached: each run draws new schedules and new random operations.
.PHONY: race
race: ## the concurrent packages under the race detector
	$(call beside,race,$(race),$(filter-out .,$(MODULES)))

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME=10m (FUZZ=regexp, PARALLEL=workers)
	$(call each,fuzz,$(fuzz))

.PHONY: bench
bench: ## the headline benchmarks (BENCH=regexp, COUNT=6)
	go test -timeout 0 -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) .

.PHONY: bench-compare
bench-compare: ## side by side with other caches, about an hour: docs/benchmarks/compare.md (ARGS=-quick: minutes)
	scripts/tools.sh bench
	cd $(HARNESS) && GOWORK=off go run ./cmd/compare $(ARGS)

.PHONY: bench-guard
bench-guard: ## instructions and cache misses against docs/benchmarks/guard.txt (ARGS=-record: write that)
	scripts/tools.sh bench
	cd $(HARNESS) && GOWORK=off go run ./cmd/guard $(ARGS)

# Faults that a promise forbids, put in one at a time: each must turn a test red.
.PHONY: mutants
mutants: ## break the code on purpose, fault by fault: does a test notice? (MUTANTS=regexp)
	go run ./internal/testing/mutants -run '$(MUTANTS)'

# Each operator of a package turned into another, by a tool that does not know what the code is for.
# A mutant that runs for four times as long as all tests do counts as timed out: neither killed nor
# alive. docs/testing.md has the survivors.
.PHONY: gremlins
gremlins: ## break the code blindly, operator by operator (BLIND=packages; hours)
	@for package in $(BLIND); do \
		printf '\n-- %s\n' "$$package"; \
		GOFLAGS='-short -vet=off -ldflags=-w' go run $(GREMLINS) unleash \
			--workers 1 --timeout-coefficient 4 --threshold-efficacy 90 "./$$package" || exit 1; \
	done

.PHONY: soak
soak: ## mixed load for SOAK=30m, LIN_HISTORIES=20000 histories per configuration, tlscache in full
	SOAK=$(SOAK) go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./fastcache
	LIN_HISTORIES=$(LIN_HISTORIES) go test -count=1 -timeout 0 -v -run 'Histories(Are|With)' ./fastcache
	TLS_FULL=1 go test -count=1 -timeout 0 ./tlscache
	cd interop && GOWORK=off TLS_FULL=1 go test -count=1 -timeout 0 -run Burst .

.PHONY: demo
demo: ## a server and clients that resume, live (ARGS=flags)
	go run ./cmd/sessioncache demo $(ARGS)
