# syntax=docker/dockerfile:1
# Builds Hookgate and runs it as a user without rights, with its store on a volume.

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
RUN cargo build --release --locked -p hookgate

FROM debian:bookworm-slim
# The folder belongs to the user before the volume is laid over it; a named volume takes
# its owner from here.
RUN groupadd --system --gid 10001 hookgate \
    && useradd --system --uid 10001 --gid hookgate --home-dir /data --shell /usr/sbin/nologin hookgate \
    && install -d -o hookgate -g hookgate -m 0700 /data
# Whom to believe when credentials are asked for over HTTPS.
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /build/target/release/hookgate /usr/local/bin/hookgate
USER 10001:10001
# The working folder: `.env` and `hookgate.toml` are looked for here.
WORKDIR /data
# With PORT set, Hookgate listens on 0.0.0.0:$PORT. Platforms (Cloud Run, Render) set their own.
ENV PORT=8080 \
    HOOKGATE_STORE=/data/hookgate.data
VOLUME ["/data"]
EXPOSE 8080
# No HEALTHCHECK: the image has no HTTP client. Let the platform ask for /readyz.
# SIGTERM finishes what was begun and closes the store.
STOPSIGNAL SIGTERM
ENTRYPOINT ["hookgate"]
CMD ["serve"]
