# `make test` needs Rust alone. What the others need is in CONTRIBUTING.md.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# docker, podman and buildah take the same arguments here.
BUILDER ?= docker
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -1)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# The end-to-end stories: the command, and what makes it run those too that take longer than a core run may.
E2E ?= $(CARGO) test --locked --features e2e --test e2e --
E2E_FULL ?= $(E2E) --include-ignored
# Of the whole workspace, as `make test` builds it.
CONFORMANCE ?= $(CARGO) test --locked --workspace --test conformance --
CHAOS ?= $(CARGO) test --locked --profile chaos --features chaos --test chaos
BENCH ?= benches/run
CRDS ?= $(CARGO) run --locked --quiet --bin paramedic -- crd --out k8s/crds

.PHONY: help demo test chaos lint e2e e2e-full conformance conformance-record bench soak image crds docs

help: ## What there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: ## Paramedic at work on this machine, in a minute: no cluster, nothing to install (DEMO="--keep" and the like)
	$(CARGO) run --locked --release --bin paramedic -- demo $(DEMO)

test: ## Unit and property tests, and stories that need no cluster
	$(CARGO) test --locked --workspace

# Given to make or in the environment: SEEDS=…, SEED=…, FROM=… and WITHOUT=….
export SEED SEEDS FROM WITHOUT
chaos: ## 2,000 schedules of faults, and what is found where a protection is taken away; SEEDS=…, or SEED=… with its trace
	$(CHAOS)

lint: ## Format, clippy, shellcheck, the alerting rules, and cargo-deny where it is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	git ls-files -z | xargs -0 grep -lZE '^#!/(usr/)?bin/(env )?(ba)?sh$$' | xargs -0 shellcheck -x -P SCRIPTDIR
	rules/test
	if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; else echo 'cargo-deny is not installed: skipped'; fi

# Only a KUBECONFIG that is given to make itself counts, `make e2e KUBECONFIG=…`. One that happens to be in the environment
# may lead to a cluster that nobody wants to have pods evicted in.
ifeq ($(origin KUBECONFIG),command line)
e2e e2e-full conformance conformance-record bench soak: export E2E_KUBECONFIG := $(KUBECONFIG)
else
e2e e2e-full conformance conformance-record bench soak: export E2E_KUBECONFIG :=
endif

# What comes after the stories on a cluster that was made for them.
e2e e2e-full: export E2E_AFTERWARDS := tests/conformance/run $(CONFORMANCE)

e2e: ## The core stories on a real cluster, the one of KUBECONFIG=…, or one made for it, where conformance follows
	tests/e2e/run $(E2E)

e2e-full: ## All stories, on images that the Dockerfile makes
	E2E_DOCKERFILE=1 tests/e2e/run $(E2E_FULL)

conformance: ## The simulated API server beside a real one: that of KUBECONFIG=…, or one made for it
	tests/conformance/run $(CONFORMANCE)

conformance-record: ## What `make test` holds the simulated one to, recorded anew
	tests/conformance/run $(CONFORMANCE) --record

bench: ## The figures of docs/performance.md, on a cluster as for e2e
	$(BENCH)

MINUTES ?= 60
soak: ## What becomes of the memory in an hour of storms; MINUTES=…
	$(BENCH) --soak $(MINUTES)

image: ## Both images, by BUILDER (docker)
	$(BUILDER) build --build-arg VERSION=$(VERSION) --build-arg PARAMEDIC_COMMIT=$(COMMIT) -t paramedic:$(VERSION) .
	$(BUILDER) build --build-arg VERSION=$(VERSION) --build-arg PARAMEDIC_COMMIT=$(COMMIT) --target demo-app -t demo-app:$(VERSION) .

crds: ## The custom resource definitions in k8s/crds, from the types
	$(CRDS)

docs: ## The reference of fields in docs/policies.md, from the same types, and the table of metrics
	UPDATE_DOCS=1 $(CARGO) test --locked --quiet --test docs --test observability
