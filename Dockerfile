# One image for every role: docker run tapeworks:local worker, scheduler, submit, runs, …

FROM python:3.12-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/tapeworks
ENV PATH=/opt/tapeworks/bin:$PATH
# The locked dependencies first: they change less often than the code.
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY workers workers
COPY scheduler scheduler
COPY storage storage
COPY tapeworks tapeworks
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
# The home is where a volume for the database goes; a new volume takes over its owner.
RUN groupadd --gid 10001 tapeworks && useradd --uid 10001 --gid 10001 --home-dir /var/lib/tapeworks --create-home tapeworks
COPY --from=build /opt/tapeworks /opt/tapeworks
# Nothing is written outside the home and /tmp, so that the rest may be read-only.
ENV PATH=/opt/tapeworks/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /var/lib/tapeworks
ENTRYPOINT ["tapeworks"]
CMD ["--help"]
