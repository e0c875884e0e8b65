"""One worker process: `python -m workers`."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from celery.exceptions import SecurityWarning

from workers.addresses import redis_url
from workers.app import app, use_redis
from workers.crash_points import check_crash_point
from workers.errors import CrashPointUnknown, PasswordUnusable

ARGUMENTS = ["--quiet", "worker", "--pool", "solo", "--concurrency", "1"]
ARGUMENTS += ["--without-gossip", "--without-mingle", "--without-heartbeat"]

#: The exit code of what cannot work, as for `tapeworks`.
WRONG_USAGE = 2


def main() -> None:
    """Run a Celery worker that logs problems only."""
    try:
        check_crash_point()
        use_redis(redis_url(os.environ))
    except (CrashPointUnknown, PasswordUnusable) as error:
        sys.stderr.write(f"python -m workers: {error}\n")
        sys.exit(WRONG_USAGE)
    level = os.environ.get("TAPEWORKS_LOG_LEVEL", "WARNING").upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Celery warns of running as root because of pickle, which this app accepts nowhere.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.worker_main(ARGUMENTS)


if __name__ == "__main__":
    main()
