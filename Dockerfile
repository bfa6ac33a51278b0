# One image for every command: serve, api, worker, migrate and the rest are arguments.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The commit that `hpts --version` and /v1/health/live name.
ARG HPTS_GIT_SHA=unknown
ENV HPTS_GIT_SHA=$HPTS_GIT_SHA
# The caches keep crates and objects between builds; the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --bin hpts && cp target/dist/hpts /usr/local/bin/hpts

FROM debian:bookworm-slim
# Root certificates, for TLS to the database, the broker and an outside token issuer.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/hpts --shell /usr/sbin/nologin hpts
COPY --from=build /usr/local/bin/hpts /usr/local/bin/hpts
USER hpts
WORKDIR /var/lib/hpts
# Inside a container loopback reaches nobody; what is published is decided outside.
ENV HPTS_LISTEN=0.0.0.0:8080 HPTS_METRICS_LISTEN=0.0.0.0:9464 HPTS_DATA_DIR=/var/lib/hpts/data
EXPOSE 8080 9464
# SIGTERM drains; give it longer than HPTS_DRAIN_SECONDS (25) before it is killed.
STOPSIGNAL SIGTERM
ENTRYPOINT ["hpts"]
CMD ["serve"]
