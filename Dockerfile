# The images of Paramedic and of the application that it is shown with:
#   docker build --build-arg PARAMEDIC_COMMIT="$(git rev-parse HEAD)" -t paramedic .
#   docker build --target demo-app -t demo-app .
# podman and buildah read it as well. `make image` fills in version and commit.

ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
# The same Debian as the build's: a newer glibc there would ask for symbols that this one lacks.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

# The dependencies, from the manifests and empty sources: this layer changes when a dependency does, and not with the code.
FROM ${RUST_IMAGE} AS dependencies
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY demo-app/Cargo.toml demo-app/
# Every target that a manifest names by its path must exist, or cargo refuses the manifest.
RUN set -eu; \
    mkdir -p src demo-app/src; \
    for file in src/main.rs demo-app/src/main.rs $(sed -n 's/^path = "\(.*\.rs\)"$/\1/p' Cargo.toml); do \
        mkdir -p "$(dirname "$file")"; echo 'fn main() {}' >"$file"; \
    done; \
    touch src/lib.rs demo-app/src/lib.rs; \
    # As they are built below, a package at a time: together they would share features, and be built again there.
    cargo build --release --locked --package paramedic --bins; \
    cargo build --release --locked --package demo-app --bins

FROM dependencies AS build
COPY src src
# `paramedic demo` has in it what these folders ship.
COPY demo-app/src demo-app/src
COPY policies policies
COPY rules rules
COPY k8s/samples k8s/samples
ARG PARAMEDIC_COMMIT=unknown
# cargo goes by modification times, and those of the checkout may be older than the build of the empty sources.
RUN find src demo-app/src -name '*.rs' -exec touch {} + \
    && PARAMEDIC_COMMIT="$PARAMEDIC_COMMIT" cargo build --release --locked --package paramedic --bins

FROM dependencies AS build-demo-app
COPY demo-app/src demo-app/src
RUN find demo-app/src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --package demo-app --bins

# Nothing is written at run time, so the root may be read-only; 65532 is the user that distroless images call nonroot.
FROM ${BASE_IMAGE} AS runtime
COPY --from=dependencies /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE /usr/share/doc/paramedic/LICENSE
USER 65532:65532
WORKDIR /

FROM runtime AS demo-app
ARG VERSION=0.0.0
ARG PARAMEDIC_COMMIT=unknown
LABEL org.opencontainers.image.title="demo-app" \
      org.opencontainers.image.description="An application that leaks memory, and falls ill in other ways, on request" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/paramedic-dev/paramedic" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${PARAMEDIC_COMMIT}"
COPY --from=build-demo-app /build/target/release/demo-app /usr/local/bin/demo-app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/demo-app"]

FROM runtime AS paramedic
ARG VERSION=0.0.0
ARG PARAMEDIC_COMMIT=unknown
LABEL org.opencontainers.image.title="paramedic" \
      org.opencontainers.image.description="Repairs what Alertmanager reports, through the Kubernetes API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/paramedic-dev/paramedic" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${PARAMEDIC_COMMIT}"
COPY --from=build /build/target/release/paramedic /usr/local/bin/paramedic
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/paramedic"]
CMD ["--help"]
