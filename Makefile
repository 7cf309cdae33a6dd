# SPDX-License-Identifier: Apache-2.0

# Building needs Go alone: what clang makes of bpf/ is committed. Testing also
# needs root and a few Debian packages, which it installs when they are missing.

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 60s
FUZZED ?= 10000000
CI       ?=
export CI
export CGO_ENABLED ?= 0

# Packages whose tests need root and BPF. All others are plain unit tests.
KERNEL_DIRS := bpf maps controlplane/reconcile test
# Packages whose tests also run on Linux 6.1 with IPVS, in a virtual machine. It is
# too small for the programs of test/clients.
VM_DIRS     := bpf maps controlplane/reconcile $(filter-out test/clients,$(wildcard test/*))
# Of those the ones that try at length what the same bytecode decides on any kernel,
# and long fetches: this kernel has tried them. What asks for the verifier, helpers, devices and wires stays;
# of the wires' combinations half do (spared in bpf).
VM_SKIP     := ^Test(Whole|AnyOffset|RandomSelection|VariantOffsets|VariantsLinger|VariantExchanges|Selection|Speech|FullNAT|Spread|NAT(Checksums|Candidates|Headers|States|Others)|ServerStates|BurstExchanges|ThePageSurvivesLoss|TheBurstSurvivesLoss|FloodAndThePage|EveryRequestIsAnswered)
# What those tests find there besides themselves.
VM_FILES    := ipvsadm curl wget nginx bpftool iperf3 ethtool /usr/bin/python3

empty      :=
space      := $(empty) $(empty)
packages    = $(addsuffix /...,$(addprefix ./,$(wildcard $(1))))
unit        = $(shell go list ./... | grep -vE '^[^/]+/[^/]+/[^/]+/($(subst $(space),|,$(KERNEL_DIRS)))(/|$$)')
python_dirs = $(wildcard /usr/lib/python3.*)
LINT       := go tool -modfile=tools/lint/go.mod golangci-lint

.PHONY: all build generate fmt lint check test test-unit test-root test-vm demo bench fuzz fuzz-bpf clean help

all: build ## the same as build

build: ## bin/maitred, one static program, and the host of modules that are shared objects
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/maitred ./cmd/maitred-module-host

generate: ## compile bpf/ with clang-19
	go generate ./bpf

fmt: ## format Go and C
	gofmt -w $$(git ls-files '*.go')
	clang-format-19 -i bpf/*.c bpf/include/*.h

lint: ## golangci-lint, at the version of tools/lint
	$(LINT) run ./...

check: ## format, lint, licence lines, file sizes; generated files are fresh
	tools/deps.sh check
	@echo '== format'
	test -z "$$(gofmt -l . | tee /dev/stderr)"
	clang-format-19 --dry-run --Werror bpf/*.c bpf/include/*.h
	@echo '== licence lines and file sizes'
	tools/tidy.sh
	@echo '== modules'
	go mod tidy -diff
	@echo '== generated files'
	go generate ./bpf
	git diff --exit-code -- '*_bpfel.go' '*_bpfel.o'
	@echo '== lint'
	$(LINT) run ./...
	@echo 'check: ok'

test: ## all tests: unit, then as root on this kernel, then on Linux 6.1 with IPVS
	tools/deps.sh test
	$(MAKE) --no-print-directory test-unit test-root test-vm
	@echo
	@echo 'test: ok: unit tests, tests on Linux $(shell uname -r), tests in the virtual machine'

test-unit: ## tests that need no privilege
	@echo '== unit tests'
	go test $(unit)

test-root: build ## tests that need root and BPF; their lack is a failure
	@echo '== tests on this kernel, as root'
	CI=true MAITRED=$(CURDIR)/bin/maitred go test -count=1 -p 1 -timeout 30m $(call packages,$(KERNEL_DIRS))
	@echo 'the sorry page as Chromium shows it:' test/clients/screenshots/*.png

test-vm: build bin/vmtest ## tests on Linux 6.1 with IPVS, in a virtual machine
	@echo '== tests on Linux 6.1, in a virtual machine'
	bin/vmtest -timeout 26m -m 2048 -file bin/maitred:/usr/local/bin/maitred \
		$(addprefix -file ,$(VM_FILES) $(python_dirs)) -test $(call packages,$(VM_DIRS)) -- -test.short -test.skip '$(VM_SKIP)'

demo: build ## the whole story: balanced, a server drained, both killed, the kernel says sorry, back again
	@bin/maitred demo

bench: bin/vmtest bin/epoll ## what packets and flows cost, and eBPF against IPVS: needs root, ten minutes
	@tools/deps.sh bench
	@go test -run '^$$' -bench . -benchtime 1x -timeout 20m ./test/bench
	@go test -run '^$$' -bench . -benchtime 1x ./test/e2e
	@bin/vmtest -timeout 20m -m 1536 -file bin/epoll:/usr/local/bin/epoll -file keepalived -test ./test/bench -- -test.run '^$$' -test.bench . -test.benchtime 1x

fuzz: ## each fuzzer for FUZZTIME (60s)
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
		grep -hos '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | sed 's/func //' | while read -r f; do \
			echo "== $$f in $$dir"; \
			go test -C "$$dir" -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x . || exit 1; \
		done || exit 1; \
	done

fuzz-bpf: ## FUZZED (10000000) mutated packets through each program of bpf/: needs root
	go test -run '^TestRandom' -timeout 4h -v ./bpf -fuzzed $(FUZZED)

clean: ## remove what was built
	rm -rf bin
	go clean -testcache

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

bin/epoll: test/bench/testdata/epoll.c
	@mkdir -p bin
	@gcc -O2 -static -o $@ $<

bin/vmtest: FORCE
	@go build -o $@ ./tools/vmtest

FORCE:
