# The image contains one static program, the CA certificates and the licences. It has no shell and no package manager, so only
# the program itself ever needs a patch.
#
#   docker build --build-arg VERSION=1.0.0 --build-arg REVISION="$(git rev-parse HEAD)" -t etrusted-broker:1.0.0 .
#
# For other platforms (the compiler runs natively and cross-compiles, so no emulation is needed):
#
#   docker buildx build --platform linux/amd64,linux/arm64 …
#
# A reproducible image: the same bytes from the same commit and golang image (podman and buildah: --timestamp):
#
#   SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) docker buildx build --provenance=false \
#     --output type=oci,dest=etrusted-broker.tar,rewrite-timestamp=true …
#
# So nothing here may depend on the current time.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src

# Download the modules first: this layer stays cached until go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download && go mod verify

COPY . .

# BuildKit sets TARGETOS and TARGETARCH from --platform. Declare the arguments below the downloads, because a new value
# invalidates all layers below.
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=unknown

# CGO_ENABLED=0: a static binary, because scratch has no libc. -trimpath: no paths of the build machine, and the same bytes
# everywhere. -s -w: no symbol table and no debug information; stack traces still have line numbers.
#
# The caches are Go's own and content-addressed, so they change the build time but not the result.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath \
      -ldflags "-s -w -X main.version=$VERSION -X main.revision=$REVISION" \
      -o /out/broker ./cmd/broker

# The licences and notices of everything that is linked into the program.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go run ./packaging/modules licences /out/THIRD_PARTY_LICENSES

FROM scratch

ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="etrusted-broker" \
      org.opencontainers.image.description="Adds the OAuth access token to eTrusted API requests" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# TLS verification needs these. For a company's own CA, set SSL_CERT_FILE.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /out/THIRD_PARTY_LICENSES /
COPY --from=build /out/broker /broker

# A number, not a name: scratch has no /etc/passwd, and Kubernetes' runAsNonRoot can only check a number.
USER 65532:65532

# No EXPOSE: the broker listens on 127.0.0.1, for its own network namespace only.

# In exec form, because there is no shell. `health` checks only whether the process serves: an outage of the login server is
# no reason to restart the broker.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/broker", "health"]

# Also in exec form: the broker is process 1 and receives SIGTERM itself.
ENTRYPOINT ["/broker"]
