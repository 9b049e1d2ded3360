# Temper in a container.
#
# CPU, from the archive that `cargo xtask release` makes:
#
#     docker build --build-arg ARCHIVE=target/dist/temper-0.1.0-x86_64-unknown-linux-musl.tar.gz -t temper .
#     docker run --rm -v "$PWD":/work -v temper-cache:/cache temper finetune bert imdb
#
# NVIDIA GPUs, built from this checkout:
#
#     docker build --target cuda -t temper:cuda .
#     docker run --rm --gpus all -v "$PWD":/work -v temper-cache:/cache temper:cuda finetune bert imdb --backend cuda

FROM rust:1.95-bookworm AS cuda-build
WORKDIR /source
COPY . .
ARG COMMIT=""
# Kernels are compiled by NVRTC while the program runs: the build needs neither the toolkit nor LLVM.
RUN TEMPER_COMMIT="$COMMIT" cargo build --release --locked --package temper-train --bin temper \
    --features cuda-nvrtc --config ci/cuda-offline.toml

# The toolkit's headers are read by NVRTC, which is in this image, too.
FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS cuda
COPY --from=cuda-build /source/target/release/temper /usr/local/bin/temper
ENV TEMPER_CACHE=/cache/temper HF_HOME=/cache/huggingface
RUN install -d -m 1777 /cache /work
WORKDIR /work
USER 1000
ENTRYPOINT ["temper"]

FROM debian:bookworm-slim AS archive
ARG ARCHIVE
COPY ${ARCHIVE} ${ARCHIVE}.sha256 /archive/
WORKDIR /archive
RUN sha256sum --check ./*.sha256 && tar -xzf ./*.tar.gz --strip-components=1

# The last stage is what is built by default.
FROM debian:bookworm-slim AS cpu
# Certificates for downloads; Python's pip fetches the packages that stand in where the Hub is out of reach.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-minimal python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 1777 /cache /work
COPY --from=archive /archive/temper /usr/local/bin/temper
COPY --from=archive /archive/LICENSE-MIT /archive/LICENSE-APACHE /usr/share/doc/temper/
ENV TEMPER_CACHE=/cache/temper HF_HOME=/cache/huggingface
WORKDIR /work
USER 1000
ENTRYPOINT ["temper"]
