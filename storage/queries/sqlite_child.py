"""Answers one query of an SQLite file, as a process of its own that can be ended at any moment.

    python -I -S sqlite_child.py < request > answer

No handler inside SQLite could do what its parent and the kernel do here: a single function call
may take hours, without a look at the clock or at signals. Imports nothing but the standard library.
The request is a JSON object; the answer is lines of JSON: the columns, rows, and `{"end": true}` or
an error.
"""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import sys
from contextlib import suppress
from typing import Any

#: How long it waits for a lock, in milliseconds.
BUSY_TIMEOUT_MS = 5_000

#: Characters that are written at a time.
CHUNK = 2**16

#: What a query does, as it tells the authorizer.
READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}

#: The errors of a temporary file that cannot grow; a file that cannot be read has another code.
WRITING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}

#: SQLite's own functions that compute from their arguments alone, or tell the time.
FUNCTION_NAMES = """
    abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr
    last_insert_rowid length like likelihood likely lower ltrim nullif octet_length printf quote
    random randomblob replace round rtrim sign soundex sqlite_version substr substring
    total_changes trim typeof unhex unicode unistr unlikely upper zeroblob
    current_date current_time current_timestamp date datetime julianday strftime time timediff
    unixepoch
    avg count group_concat max median min percentile percentile_cont percentile_disc string_agg
    sum total
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank
    row_number
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10
    log2 mod pi pow power radians sin sinh sqrt tan tanh trunc
    -> ->> json json_array json_array_length json_error_position json_extract json_group_array
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_type json_valid
    jsonb jsonb_array jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object
    jsonb_patch jsonb_remove jsonb_replace jsonb_set
"""
FUNCTIONS = frozenset(FUNCTION_NAMES.split())

#: Functions that give rows. Their first use declares them, which no query is allowed to do.
TABLE_FUNCTIONS = "SELECT 1 FROM json_each('[]'), json_tree('[]')"


def main() -> None:
    """Read the request, answer it, and never take longer than it allows."""
    request = json.load(sys.stdin)
    signal.setitimer(signal.ITIMER_REAL, request["seconds"])  # whose signal ends this process
    _limit(resource.RLIMIT_AS, request["most_memory"])
    _limit(resource.RLIMIT_FSIZE, request["most_temporary"])
    try:
        _answer(request)
    except MemoryError:
        _put({"too_large": "memory"})
    except (sqlite3.Error, sqlite3.Warning) as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code in WRITING:  # it writes nothing else
            _put({"too_large": "temporary files"})
            return
        _put({"error": type(error).__name__, "words": str(error), "code": code})


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(OSError, ValueError):  # not every system can
        resource.setrlimit(kind, (least, hard))


def _answer(request: dict[str, Any]) -> None:
    connection = _connect(request["uri"])
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, request["longest_value"])
    connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
    connection.execute("PRAGMA query_only = ON")
    connection.set_authorizer(_authorize)
    cursor = connection.execute(request["sql"], request["parameters"])
    if cursor.description is None:
        _put({"end": False})
        return
    _put([column[0] for column in cursor.description])
    _put_rows(cursor, request)


def _connect(uri: str) -> sqlite3.Connection:
    """Open the file by a name that lets SQLite read only."""
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute(TABLE_FUNCTIONS).fetchone()
    return connection


def _authorize(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    is_known = action != sqlite3.SQLITE_FUNCTION or str(name).lower() in FUNCTIONS
    return sqlite3.SQLITE_OK if action in READING and is_known else sqlite3.SQLITE_DENY


def _put_rows(cursor: sqlite3.Cursor, request: dict[str, Any]) -> None:
    lines, waiting, count, size = list[str](), 0, 0, 0
    limit = request["limit"]
    while limit is None or count < limit:
        row = cursor.fetchone()
        if row is None:
            break
        line = json.dumps([cell.hex() if isinstance(cell, bytes) else cell for cell in row])
        count, size, waiting = count + 1, size + len(line), waiting + len(line)
        if count > request["most_rows"] or size > request["most_bytes"]:
            _put({"too_large": "answer"})
            return
        lines.append(line)
        if waiting > CHUNK:
            sys.stdout.write("\n".join(lines) + "\n")
            lines, waiting = [], 0
    lines.append('{"end": true}')
    sys.stdout.write("\n".join(lines) + "\n")


def _put(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
