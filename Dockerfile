# The image holds one static file, the CA certificates and the licence: no shell, no package manager, nothing to
# patch but the program itself.
#
#   docker build --build-arg VERSION=1.0.0 --build-arg REVISION="$(git rev-parse HEAD)" -t etrusted-broker:1.0.0 .
#
# Another platform (the compiler runs on the building machine and cross-compiles, so no emulation is needed):
#
#   docker buildx build --platform linux/amd64,linux/arm64 …
#
# The same image, to the byte, from the same commit (of one golang image; podman and buildah: --timestamp):
#
#   SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) docker buildx build --provenance=false \
#     --output type=oci,dest=etrusted-broker.tar,rewrite-timestamp=true …
#
# That is why nothing here asks for the time. .ci/image builds it twice and compares.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src

# The modules come first: this layer is used again until go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download && go mod verify

COPY . .

# BuildKit sets TARGETOS and TARGETARCH from --platform. The arguments are declared here, below the downloads,
# because a new value invalidates every layer under it.
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=unknown

# CGO_ENABLED=0: a static binary, scratch has no libc. -trimpath: no path of the building machine, and the same bytes
# everywhere. -s -w: no symbol table and no debug information; stack traces keep their lines without them.
#
# The caches are Go's own, known by what went into each entry, so they change how long it takes and not what comes out.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath \
      -ldflags "-s -w -X main.version=$VERSION -X main.revision=$REVISION" \
      -o /out/broker ./cmd/broker

FROM scratch

ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="etrusted-broker" \
      org.opencontainers.image.description="Holds the eTrusted credential, so that the app beside it need not" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# Without these no TLS connection can be verified. SSL_CERT_FILE names another file, for a company's own CA.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /out/broker /broker

# A number, not a name: scratch has no /etc/passwd, and Kubernetes' runAsNonRoot can check only a number.
USER 65532:65532

# No EXPOSE: the broker listens on 127.0.0.1 and is to be reached from its own network namespace alone.

# In exec form, since there is no shell. `health` asks whether the process serves; a login server that is down is no
# reason to restart the broker.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/broker", "health"]

# In exec form too: the broker is process 1 and gets the SIGTERM itself.
ENTRYPOINT ["/broker"]
