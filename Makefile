# Everything a contributor runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
NODE := node_modules/.bin/node
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help run test unit fuzz checks gen format manifests e2e cluster-up cluster-down image bench soak clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

# The lock file decides; Node 24 itself is a dependency (node@24), so the system's Node only has to run npm.
node_modules/.livecluster-installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer."; exit 1; }
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' \
	  || { echo "Node.js $$(node -v) is too old: install 20 or newer."; exit 1; }
	@for try in 1 2 3; do \
	  npm ci --no-audit --no-fund --loglevel=error --fetch-retries=5 && break; \
	  [ $$try -lt 3 ] || { echo "npm ci failed $$try times: the packages of package-lock.json have to come from npm's registry: npm config get registry says which it asked."; exit 1; }; \
	  echo "npm ci failed, it is tried again in 10 s"; sleep 10; \
	done
	@$(NODE) -v | grep -q '^v24\.' || { echo "node_modules/.bin/node is $$($(NODE) -v || echo absent), not v24: remove node_modules and run make again."; exit 1; }
	@touch $@

# Without a C compiler it says what that costs; what tests or measures asks again with --require, after system-packages.sh.
deps: node_modules/.livecluster-installed
	@$(NODE) media-node/native/build.ts
.PHONY: deps

run: deps ## Run examples/livecluster.yaml here: origins and edges on loopback, a demo stream, http://localhost:8080/
	@exec $(NODE) local/main.ts $(or $(CLUSTER),examples/livecluster.yaml)

test: ## Run everything: checks, unit tests, manifests, a real Kubernetes end to end (E2E=0 leaves that out)
	@scripts/system-packages.sh test $(if $(filter 0,$(E2E)),,e2e)
	@$(MAKE) --no-print-directory deps
	@exec $(NODE) scripts/test.ts

unit: deps ## Run the unit tests; ONLY=path narrows
	@scripts/system-packages.sh test
	@exec $(NODE) scripts/test.ts unit $(ONLY)

fuzz: deps ## Mutated captures through every parser, whole RTMP sessions and the whole node, minutes; FUZZ_RUNS=n, FUZZ_SEED=n
	@export FUZZ_RUNS=$${FUZZ_RUNS:-80000} FUZZ_SEED=$${FUZZ_SEED:-$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "FUZZ_RUNS=$$FUZZ_RUNS FUZZ_SEED=$$FUZZ_SEED"; \
	exec $(NODE) --test --test-reporter=spec $$(find media-node/src -name '*fuzz.test.ts')

checks: deps ## Types, lint, format, generated files
	@exec $(NODE) scripts/test.ts checks

manifests: deps ## Chart and manifests through helm lint, kube-score and kubeconform
	@exec $(NODE) scripts/test.ts manifests

e2e: deps ## The end-to-end tests alone; E2E_KUBECONFIG=file uses an existing cluster
	@scripts/system-packages.sh test e2e
	@exec $(NODE) scripts/test.ts e2e

gen: deps ## Write crds/ and the chart's copies from the zod schemas
	@exec $(NODE) scripts/gen.ts

format: deps ## Format the sources
	@exec prettier --write --log-level warn .

cluster-up: deps ## Bring up a real Kubernetes on this machine, in a network namespace of its own
	@scripts/system-packages.sh e2e
	@exec $(NODE) e2e/cluster/up.ts

cluster-down: deps ## Take it down and leave nothing
	@exec $(NODE) e2e/cluster/down.ts

image: deps ## Build the container image with buildah on the rig's base
	@scripts/system-packages.sh e2e
	@exec $(NODE) e2e/images/build.ts

bench: deps ## Measure against the targets, beside peers; exits 1 on a missed one
	@scripts/system-packages.sh bench
	@$(NODE) media-node/native/build.ts --require
	@exec $(NODE) bench/main.ts

soak: deps ## Publishers and viewers come and go at 50 a second for SOAK_MINUTES (3), and nodes at rest before and after; exits 1 when something grows
	@scripts/system-packages.sh bench
	@$(NODE) media-node/native/build.ts --require
	@exec $(NODE) bench/soak.ts

clean: ## Remove what make installed in this folder
	rm -rf node_modules .cache e2e/artifacts media-node/native/build
