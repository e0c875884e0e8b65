"""Environment variables of other programs, which the libraries used here would obey."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

#: Of other Celery programs. Celery prefers most of them to the app's own configuration, and its
#: command line takes `APP`, `LOADER` and others without any prefix.
CELERY = r"CELERY_\w+|KOMBU_\w+|C_[A-Z_]+|AUTOSCALE_KEEPALIVE|DISABLE_TRACEBACKS|EVENTLET_NOBLOCK"
CELERY += r"|FORKED_BY_MULTIPROCESSING|MP_LOG|MP_MAIN_FILE|_MP_FORK_\w+|NOSETPS|PICKLE_PROTOCOL"
CELERY += r"|REMAP_SIGTERM|TIMER_DEBUG|USE_FAST_LOCALS|DJANGO_\w+"
CELERY += r"|APP|BROKER_URL|CONFIG_MODULE|LOADER|RESULT_BACKEND|SKIP_CHECKS"

#: Of notebooks and plotting programs, and of other programs that use Keras.
PICTURES = r"MPLBACKEND|MATPLOTLIBRC|MPL_\w+|SOURCE_DATE_EPOCH"
KERAS = r"KERAS_BACKEND|KERAS_MAX_\w+|KERAS_NNX_ENABLED"

#: Of programs that are measured through shared files, and the driver's own for PostgreSQL.
OTHERS = r"PROMETHEUS_\w+|prometheus_multiproc_dir|PSYCOPG_\w+|PANDAS_\w+|SKLEARN_\w+|PYDANTIC_\w+"

#: Of libpq: what changes a session, or leads a complete address elsewhere. Names, passwords and
#: certificates remain, which fill in what the address leaves open.
POSTGRESQL = r"PG(APPNAME|CLIENTENCODING|CONNECT_TIMEOUT|DATESTYLE|GEQO|HOSTADDR|LOADBALANCEHOSTS"
POSTGRESQL += r"|LOCALEDIR|OPTIONS|SERVICE|SERVICEFILE|SYSCONFDIR|TARGETSESSIONATTRS|TZ)"

_FOREIGN = re.compile(f"{CELERY}|{PICTURES}|{KERAS}|{OTHERS}|{POSTGRESQL}")


def foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of other programs."""
    return {name: value for name, value in environment.items() if _FOREIGN.fullmatch(name)}


def without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as this program's processes should have it."""
    ignored = foreign(environment)
    return {name: value for name, value in environment.items() if name not in ignored}


@contextmanager
def hide_foreign(environment: MutableMapping[str, str]) -> Iterator[dict[str, str]]:
    """Remove the variables of other programs for a time, and yield them."""
    ignored = foreign(environment)
    for name in ignored:
        del environment[name]
    try:
        yield ignored
    finally:
        environment.update(ignored)
