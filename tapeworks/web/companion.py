"""The web page beside a training, as a process that ends with the one that started it.

    python -P -m tapeworks.web.companion

It writes its address to stdout, and stops when its stdin is closed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import closing

from tapeworks.errors import EXPECTED, UsageError, exit_code
from tapeworks.places import find_places
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import DEFAULT_PORT, WebOptions
from tapeworks.web.server import listen, serve

HOST = "127.0.0.1"

#: How far it stands behind the training, which has the processor first.
NICENESS = 10


def main() -> int:
    """Serve until stdin is closed, and return the exit code."""
    os.nice(NICENESS)
    places = find_places()
    try:
        with closing(Database(places.database_url)) as database, closing(_listen()) as listener:
            _serve(database, listener, places.named_redis_url)
    except EXPECTED as error:
        print(f"tapeworks: {error}", file=sys.stderr)  # noqa: T201 - the command's own stderr
        return int(exit_code(error))
    return 0


def _listen() -> socket.socket:
    """Listen where people expect the page, or where there is room."""
    try:
        return listen(HOST, DEFAULT_PORT)
    except UsageError:
        return listen(HOST, 0)


def _serve(database: Database, listener: socket.socket, redis_url: str | None) -> None:
    port = listener.getsockname()[1]
    options = WebOptions(redis_url=redis_url, cookie=f"tapeworks_{port}")
    app = create_app(History(database), options)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    print(f"http://{HOST}:{port}/", flush=True)  # noqa: T201 - for the parent
    serve(app, listener)


def _stop_with_parent() -> None:
    """Wait for the other end of stdin to be closed, also by a parent that was killed."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
