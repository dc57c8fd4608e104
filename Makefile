# demo: the main job in an embedded sandbox, on AWS and on Azure (CLOUD=aws, azure or gcp: on one).  bench: figures, one a line.
# check: what to run while you work.  test: all tests but those that need a Kubernetes control plane, which are test-kubernetes.
# test-race: what check tests, under the race detector.  lint: the linters.
# prove: the promises as evidence, with the figures of docs/reliability.md.  fuzz: every parser of foreign input, a minute each.
# See README.md.

GO ?= go

# internal/pack builds with the same flags; a test compares them. Without -buildvcs=false the bytes would depend on git.
LAMBDA_FLAGS := -tags lambda.norpc -trimpath -buildvcs=false -ldflags "-s -w"

# The control plane's libraries are compiled as internal/controlplane compiles them, so that they are compiled once.
KUBERNETES := cd test/kubernetes && CGO_ENABLED=0 GOFLAGS=-trimpath $(GO)

.PHONY: demo check test test-race test-kubernetes build-functions bench prove fuzz lint build-RotationFunction

# Built with the flags of the functions, so that what they have in common is compiled once.
SANDBOX_FLAGS := -trimpath $(if $(filter gcp,$(CLOUD)),,-tags nogcp) ./cmd/maia-rotate
# Counts the packages that go build -v names, which are those that it compiles. What fails is reported by the go run that follows.
progress = { n=0; while read -r line; do n=$$((n + 1)); case $$n in 1) echo "compiling …";; *[05]0) echo "  $$n packages";; esac; done; }
SANDBOX := CGO_ENABLED=0 $(GO) run $(SANDBOX_FLAGS) sandbox

# Google Cloud's libraries take minutes to compile the first time: they are left out unless CLOUD=gcp asks for them.
demo:
	@CGO_ENABLED=0 $(GO) build -v -o /dev/null $(SANDBOX_FLAGS) 2>&1 | $(progress)
ifneq ($(CLOUD),)
	$(SANDBOX) --cloud $(CLOUD)
else
	$(SANDBOX) --cloud aws
	@echo
	$(SANDBOX) --cloud azure
	@echo "Google Cloud, with a real Kubernetes API server: make demo CLOUD=gcp"
endif

# Packages that are tested at a time: one more than there are cores, because some wait for minutes.
PACKAGES = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
GO_TEST = $(GO) test -v -p $(PACKAGES) -timeout 30m

# The status of a pipe is that of its last command: the file shows that the tests failed.
tested = failed=$$(mktemp); { $(1) 2>&1 || echo failed >"$$failed"; } | awk -f tools/tested.awk; test ! -s "$$failed"; result=$$?; rm -f "$$failed"; exit $$result

# While you work: what needs no compiled function and no control plane, and a sample of the long suites.
check:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt-clean: $$unformatted"; exit 1; }
	$(GO) vet ./...
	@$(call tested,$(GO) test -short -p $(PACKAGES) ./...)

# All tests, but for those that need a Kubernetes control plane.
test: build-functions
	@$(call tested,$(GO_TEST) ./...)

# The race detector's run: what make check tests. Processes that a test starts are not under it.
test-race:
	@$(call tested,CGO_ENABLED=1 $(GO_TEST) -race -short ./...)

# With the flags of the tests, and before them: tests that need a function at the same time would each compile its libraries.
build-functions:
	CGO_ENABLED=0 $(GO) build -trimpath ./functions/...

# What needs a Kubernetes control plane: the module test/kubernetes, pkg/rotate/helmrelease, and tests with GCP in their names.
test-kubernetes: build-functions
	$(GO) run ./internal/controlplane/cmd
	$(KUBERNETES) test -timeout 20m ./...
	@$(call tested,MAIA_ROTATE_CONTROL_PLANE=1 CGO_ENABLED=0 $(GO_TEST) -trimpath ./pkg/rotate/helmrelease ./internal/sandbox/gcp)
	@$(call tested,MAIA_ROTATE_CONTROL_PLANE=1 CGO_ENABLED=0 $(GO_TEST) -trimpath -run 'GCP|GoogleCloud|^TestPartOfTheScenarios$$/^gcp$$' ./cmd/maia-rotate ./internal/bench ./internal/prove)

bench:
	@$(GO) run ./internal/bench

# Plays what make test leaves out, in real time: it takes most of an hour.
prove:
	@$(GO) run ./internal/prove -document docs/reliability.md

# How long each fuzz target runs. Its findings are kept below testdata/fuzz of its package, where go test tries them from then on.
FUZZTIME ?= 60s

# All targets, one after another, until one finds something.
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
