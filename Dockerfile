# Two stages: the build needs Go and the module cache, the image holds the two
# static binaries and certificate roots, no shell. `make image` says what the
# image is built from; without the repository, rolegate version cannot know.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
ARG COMMIT
ARG DATE
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /out/ ./cmd/rolegate ./cmd/rolegate-credentials
RUN mkdir -p /data/certs && chmod 700 /data/certs

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/rolegate"]
CMD ["serve", "--config", "/data/rolegate.yaml"]
