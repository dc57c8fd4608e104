# demo: the main job in an embedded sandbox, on AWS and on Azure (CLOUD=aws, azure or gcp: on one).  test: all tests.  bench: figures, one a line.
# prove: the promises as evidence, with the figures of docs/reliability.md.  See README.md.

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

.PHONY: demo test test-kubernetes build-functions bench prove lint build-RotationFunction

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

# Shows what tests say of themselves too, for example how many scenarios they played, and nothing of those that pass.
test: test-kubernetes build-functions
	@failed=$$(mktemp); export MAIA_ROTATE_CONTROL_PLANE=1; \
	tested() { $(GO) test -v -timeout 50m "$$@" 2>&1 || echo failed >>"$$failed"; }; \
	{ $(if $(RACE),export CGO_ENABLED=1;) tested $(RACE) $$($(GO) list ./... | grep -v '/pkg/rotate/helmrelease$$'); \
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
