# syntax=docker/dockerfile:1
# One static binary in a small image. Build:  docker build -t dav123 .
# Run (with listen = "0.0.0.0:8123" in dav.toml):
#   docker run -d --name dav123 -p 8123:8123 -v ./config:/etc/dav123:ro -v dav123:/var/lib/dav123 dav123
# Commands beside it:  docker exec -it dav123 dav123 login /drive

FROM rust:1-alpine AS build
# The cryptography and the allocator have some C and need a compiler with musl's headers.
# hadolint ignore=DL3018
RUN apk add --no-cache gcc musl-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin dav123 && cp target/release/dav123 /dav123

FROM alpine:3
RUN addgroup -S -g 10001 dav123 && adduser -S -D -H -u 10001 -G dav123 dav123 \
    && install -d -o dav123 -g dav123 -m 0700 /var/lib/dav123
COPY --from=build /dav123 /usr/local/bin/dav123
USER 10001:10001
# State and spool go to /var/lib/dav123; commands find /etc/dav123/dav.toml without --config.
ENV XDG_STATE_HOME=/var/lib \
    DAV123_HEALTH=http://127.0.0.1:8123/.dav123/health
VOLUME /var/lib/dav123
WORKDIR /etc/dav123
EXPOSE 8123
# Another port, or TLS: set DAV123_HEALTH. The certificate is not what is tested here.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["sh", "-c", "wget -q --no-check-certificate -O /dev/null \"$DAV123_HEALTH\" || exit 1"]
ENTRYPOINT ["dav123"]
CMD ["serve"]
