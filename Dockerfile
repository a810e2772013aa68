# Two stages: the build needs Go and the module cache, the image holds one
# static binary and certificate roots, no shell.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /rolegate ./cmd/rolegate \
 && mkdir -p /data/certs && chmod 700 /data/certs

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /rolegate /rolegate
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/rolegate"]
CMD ["serve", "--config", "/data/rolegate.yaml"]
