# demo: the portal with an offline AWS and two identity providers; needs Go only.
# test: everything; on Debian as root with CI=true or INSTALL=1 it installs missing peers first.
# image: the container image; BUILDER is docker, podman or buildah.
.PHONY: demo test build image lint golden

BUILDER ?= docker

demo:
	go run ./cmd/rolegate demo

test:
	bash .ci/test

# Go records this by itself, but not from a worktree, an archive or in an image.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE ?= $(shell TZ=UTC git show -s --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd HEAD 2>/dev/null)
STAMP = -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(STAMP)' -o rolegate ./cmd/rolegate
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o rolegate-credentials ./cmd/rolegate-credentials

image:
	$(BUILDER) build -t rolegate --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) .

lint:
	go tool -modfile=.ci/tools/go.mod golangci-lint run --allow-serial-runners ./...

golden:
	go test ./... -run Golden -update
