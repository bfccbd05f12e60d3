# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
# Dependencies first: they change less often than the code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    GOCACHE=/go/build-cache CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" \
    -o /out/intercom-dispatch ./cmd/intercom-dispatch

FROM scratch
# For connections to Intercom and to Redis with TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/intercom-dispatch /intercom-dispatch
# 8080: Intercom's webhooks. 8090: health, metrics and the web UI, which listen
# on loopback unless DISPATCH_ADMIN_ADDR says otherwise.
EXPOSE 8080 8090
USER 65532:65532
ENTRYPOINT ["/intercom-dispatch"]
CMD ["--help"]
