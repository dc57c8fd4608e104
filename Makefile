# demo: the main job in an embedded sandbox, on AWS and on Azure (CLOUD=aws, azure or gcp: on one).  test: all tests.  bench: figures, one a line.
# prove: the promises as evidence, with the figures of docs/reliability.md.  fuzz: every parser of foreign input, a minute each.
# See README.md.

GO ?= go

# The race detector needs a C compiler. CI has one and must not lose it silently.
RACE := $(if $(shell command -v $$($(GO) env CC) 2>/dev/null),-race)
ifdef CI
RACE := -race
endif

# internal/pack builds with the same flags; a test compares them. Without -buildvcs=false the bytes would depend on git.
LAMBDA_FLAGS := -tags lambda.norpc -trimpath -buildvcs=false -ldflags "-s -w"

# The control plane's libraries are compiled as internal/controlplane compiles them, so that they are compiled once.
KUBERNETES := cd test/kubernetes && CGO_ENABLED=0 GOFLAGS=-trimpath $(GO)

.PHONY: demo test test-kubernetes build-functions bench prove fuzz lint build-RotationFunction

# Built with the flags of the functions, so that what they have in common is compiled once.
SANDBOX := CGO_ENABLED=0 $(GO) run -trimpath $(if $(filter gcp,$(CLOUD)),,-tags nogcp) ./cmd/maia-rotate sandbox

# Google Cloud's libraries take minutes to compile the first time: whoever does not ask for them does not wait for them.
demo:
ifneq ($(CLOUD),)
	$(SANDBOX) --cloud $(CLOUD)
else
	$(SANDBOX) --cloud aws
	@echo
	$(SANDBOX) --cloud azure
	@echo "Google Cloud, with a real Kubernetes API server: make demo CLOUD=gcp"
endif

# With the race detector the suite against a real API server takes the better part of an hour: with it, a part is played.
HELM := ./pkg/rotate/helmrelease
HELM_PART := '^TestConformance$$/^maia-RefreshCredentials'

# At a time: one more than there are cores, because some wait for minutes.
PACKAGES = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

# Shows what tests say of themselves too, for example how many scenarios they played, and nothing of those that pass.
test: test-kubernetes build-functions
	@failed=$$(mktemp); export MAIA_ROTATE_CONTROL_PLANE=1; \
	tested() { $(GO) test -v -timeout 50m "$$@" 2>&1 || echo failed >>"$$failed"; }; \
	{ $(if $(RACE),export CGO_ENABLED=1;) tested $(RACE) -p $(PACKAGES) $$($(GO) list ./... | grep -v '/pkg/rotate/helmrelease$$'); \
	$(if $(RACE),tested $(RACE) -run $(HELM_PART) $(HELM);) export CGO_ENABLED=0; tested -trimpath $(HELM); } \
	| grep --line-buffered -Ev '^(=== (RUN|PAUSE|CONT|NAME)|PASS$$|\?  |[[:space:]]*--- (PASS|SKIP):)'; \
	test ! -s "$$failed"; result=$$?; rm -f "$$failed"; exit $$result

# As tests compile them: several tests that need one at once would each compile its libraries.
build-functions:
	CGO_ENABLED=0 $(GO) build -trimpath ./functions/...

# A module of its own, for its dependencies are Kubernetes' own.
test-kubernetes:
	$(GO) run ./internal/controlplane/cmd
	$(KUBERNETES) test -timeout 20m ./...

bench:
	@$(GO) run ./internal/bench

# Plays what make test leaves out. Real time passes in it: it takes most of an hour.
prove:
	@$(GO) run ./internal/prove -document docs/reliability.md

# How long each fuzz target runs. What one finds is kept below testdata/fuzz of its package, where go test tries it from then on.
FUZZTIME ?= 60s

# One target after another, whichever there are; the first that finds something ends it.
fuzz:
	@targets=0; executions=0; said=$$(mktemp); trap 'rm -f "$$said"' EXIT; \
	for directory in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd functions internal pkg | xargs -n 1 dirname | sort -u); do \
		listed=$$($(GO) test -list '^Fuzz' "./$$directory") || { echo "$$listed"; exit 1; }; \
		for target in $$(echo "$$listed" | grep '^Fuzz'); do \
			echo "$$directory $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$directory" >"$$said" 2>&1 || { cat "$$said"; exit 1; }; \
			grep 'execs:' "$$said" | tail -n 1; \
			targets=$$((targets + 1)); \
			executions=$$((executions + $$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$$said" | tail -n 1))); \
		done; \
	done; \
	test $$targets -gt 0; \
	echo "figure: fuzz targets: $$targets"; echo "figure: fuzz executions: $$executions"

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt-clean: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags nogcp ./cmd/...
	$(KUBERNETES) vet ./...
	$(GO) mod tidy -diff
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

# Called by sam build (BuildMethod: makefile).
build-RotationFunction:
	@test -n "$(ARTIFACTS_DIR)" || { echo "ARTIFACTS_DIR is not set: where is the function to go?"; exit 1; }
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build $(LAMBDA_FLAGS) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/aws-lambda
