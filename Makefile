# demo: the portal with an offline AWS and two identity providers; needs Go only.
# test: everything; on Debian as root with CI=true or INSTALL=1 it installs missing peers first.
.PHONY: demo test build lint golden

demo:
	go run ./cmd/rolegate demo

test:
	bash .ci/test

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o rolegate ./cmd/rolegate
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o rolegate-credentials ./cmd/rolegate-credentials

lint:
	go tool -modfile=.ci/tools/go.mod golangci-lint run ./...

golden:
	go test ./... -run Golden -update
