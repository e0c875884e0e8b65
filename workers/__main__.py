"""One worker process: `python -m tapeworks.workers`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import TracebackType

from tapeworks.model.errors import ExitCode, VariableUnreadable
from tapeworks.model.hash_order import fix_hash_order
from tapeworks.model.settings import Settings
from tapeworks.wire.addresses import redis_url
from tapeworks.wire.errors import PasswordUnusable, RedisUnreachable, SigningKeyUnusable
from tapeworks.wire.signing import signer
from tapeworks.workers.foreign import hide_foreign
from tapeworks.workers.logs import log_settings, log_to_stderr, logger
from tapeworks.workers.sources import check_sources
from tapeworks.workers.streams import secure_streams

ARGUMENTS = ["--quiet", "worker", "--pool", "solo", "--concurrency", "1"]
ARGUMENTS += ["--without-gossip", "--without-mingle", "--without-heartbeat"]


def main() -> None:
    """Run a Celery worker that logs problems only, unless it is asked for more."""
    fix_hash_order()
    secure_streams()
    with hide_foreign(os.environ):  # before Celery is loaded, which reads some of them then
        _run()


def _run() -> None:
    from celery.exceptions import SecurityWarning
    from celery.worker import state

    from tapeworks.workers.app import app

    try:
        check_sources(Settings(os.environ), signer())
        app.use_redis(redis_url(Settings(os.environ)))
        settings = log_settings(Settings(os.environ))
    except (
        PasswordUnusable,
        RedisUnreachable,
        SigningKeyUnusable,
        VariableUnreadable,
    ) as error:
        sys.stderr.write(f"python -m tapeworks.workers: {error}\n")
        sys.exit(
            ExitCode.UNREACHABLE if isinstance(error, RedisUnreachable) else ExitCode.WRONG_USAGE
        )
    log_to_stderr(settings)
    sys.excepthook = _log_crash
    # Where Celery says in words of its own that it is told to end.
    sys.__stdout__ = Path(os.devnull).open("w", encoding="utf-8")  # type: ignore[misc]  # noqa: SIM115
    if settings.is_json:  # what a network of a user's prints
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # Celery warns of running as root because of pickle, which this app accepts nowhere.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.worker_main(ARGUMENTS)
    sys.exit(state.should_stop or 0)  # which Celery keeps to itself


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    told = (kind, error, traceback)
    logger.critical("This worker ended with an error", exc_info=told, extra={"event": "bug"})


if __name__ == "__main__":
    main()
