# One image for every part of lifelong: `up`, `serve` and `train` are commands of its entry point (docs/image.md).
# TORCH=cpu takes PyTorch's CPU build, TORCH=cuda the build that requirements.lock names.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.8
# For networks with an index or a certificate authority of their own; nothing of them reaches the final stage.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG PIP_CERT
ARG SSL_CERT_FILE
RUN --mount=type=secret,id=certificates \
    python3.11 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV PATH=/opt/uv/bin:${PATH} \
    UV_CACHE_DIR=/var/cache/uv \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    VIRTUAL_ENV=/opt/lifelong
RUN uv venv --quiet --python python3.11 "${VIRTUAL_ENV}"
WORKDIR /source

ARG TORCH=cpu
# Another address of the index with PyTorch's CPU builds; uv knows the original.
ARG TORCH_INDEX
COPY requirements.lock ./
# The lock is complete, so nothing is resolved; `uv pip check` proves it. The CPU build needs none of CUDA's packages.
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=certificates \
    set -eu; \
    case "${TORCH}" in \
    cuda) \
        cp requirements.lock wanted.txt ;; \
    cpu) \
        grep '^torch==' requirements.lock > torch.txt; \
        grep -Ev '^(torch|triton|cuda-[a-z-]+|nvidia-[a-z0-9-]+)==' requirements.lock > wanted.txt; \
        if [ -n "${TORCH_INDEX:-}" ]; then from="--default-index=${TORCH_INDEX}"; else from=--torch-backend=cpu; fi; \
        uv pip install --quiet --no-deps "${from}" --requirements torch.txt ;; \
    *) \
        echo "TORCH=${TORCH}: expected cpu or cuda" >&2; exit 64 ;; \
    esac; \
    uv pip install --quiet --no-deps --requirements wanted.txt; \
    uv pip check --quiet

COPY . .
RUN --mount=type=cache,target=/var/cache/uv --mount=type=secret,id=certificates \
    uv build --quiet --wheel --out-dir /opt/wheel


FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lifelong" \
      org.opencontainers.image.description="Serves a PyTorch classifier, learns from its users' corrections, and proves that it has not forgotten." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"

# Process 1 inherits what Ray's processes leave behind when they are killed; tini buries them.
RUN apt-get update --quiet=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 lifelong \
    && useradd --uid 1000 --gid 1000 --create-home lifelong \
    && install --directory --owner=1000 --group=1000 --mode=700 /var/lib/lifelong \
    && install --directory /etc/lifelong

# Two layers: the large one changes with requirements.lock only.
COPY --from=build /opt/lifelong /opt/lifelong
RUN --mount=type=bind,from=build,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,from=build,source=/opt/wheel,target=/opt/wheel \
    /opt/uv/bin/uv pip install --quiet --offline --no-cache --no-deps --compile-bytecode \
    --python /opt/lifelong /opt/wheel/*.whl

ENV PATH=/opt/lifelong/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    LIFELONG_ADDRESS=http://127.0.0.1:8000
# A user's own module is imported from the working directory, so that must not be one the service can write.
WORKDIR /etc/lifelong
VOLUME /var/lib/lifelong
EXPOSE 8000
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(os.environ['LIFELONG_ADDRESS'] + '/v2/health/live', timeout=8)"]
ENTRYPOINT ["tini", "--", "lifelong"]
CMD ["up", "model.yaml", "--state", "/var/lib/lifelong", "--host", "0.0.0.0"]
