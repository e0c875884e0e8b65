"""Clients that poll pages as browsers do, until a line comes; then the number of answers.

python -m benchmarks.polling_clients PAGES URL...
"""

from __future__ import annotations

import sys
import threading
import time

import httpx2

#: Seconds between two looks at one URL of an open page.
PERIOD_SECONDS = 2.0


class Clients:
    """Open pages, each of which polls all of these URLs."""

    def __init__(self, pages: int, urls: list[str]) -> None:
        self._pages, self._urls = pages, urls
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self.answers = 0

    def start(self) -> list[threading.Thread]:
        """Open the pages, evenly over one period."""
        waits = [number * PERIOD_SECONDS / self._pages for number in range(self._pages)]
        threads = [threading.Thread(target=self._poll, args=[wait]) for wait in waits]
        for thread in threads:
            thread.start()
        return threads

    def end(self) -> None:
        """Close them."""
        self._is_over.set()

    def _poll(self, wait: float) -> None:
        etags: dict[str, str] = {}
        with httpx2.Client() as client:
            while not self._is_over.wait(wait):
                began = time.monotonic()
                for url in self._urls:
                    self._look(client, url, etags)
                wait = max(0.0, PERIOD_SECONDS - (time.monotonic() - began))

    def _look(self, client: httpx2.Client, url: str, etags: dict[str, str]) -> None:
        known = etags.get(url)
        answer = client.get(url, headers={"If-None-Match": known} if known else {})
        if answer.status_code not in {200, 304}:
            raise RuntimeError(f"{url} answers {answer.status_code}.")
        etags[url] = answer.headers["ETag"]
        with self._lock:
            self.answers += 1


def main() -> None:
    """Poll until a line comes on stdin."""
    clients = Clients(int(sys.argv[1]), sys.argv[2:])
    threads = clients.start()
    print("ready", flush=True)
    sys.stdin.readline()
    clients.end()
    for thread in threads:
        thread.join()
    print(clients.answers)


if __name__ == "__main__":
    main()
