"""A Celery app whose settings come from this program alone.

Celery prefers its environment variables and the options of its command line to what an app is
configured with, so the app is asked for nothing that they could decide.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader

from tapeworks.workers.addresses import DEFAULT_URL
from tapeworks.workers.redis_client import for_celery


class OwnLoader(AppLoader):  # type: ignore[misc]
    """Read no module that CELERY_CONFIG_MODULE or --config names, and none of the user's own."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:  # noqa: ARG002
        """Return nothing; the app is configured where it is made."""
        return {}

    def import_from_cwd(self, module: str, imp: Any = None, package: str | None = None) -> Any:
        """Import from where Python does; Celery would search the working directory first."""
        return (imp or self.import_module)(module, package=package)


class OwnApp(Celery):  # type: ignore[misc]
    """An app with the Redis that it is told to use, without results and without Django."""

    backend_cls = "disabled"

    def __init__(self, name: str, *, include: list[str]) -> None:
        super().__init__(name, loader=OwnLoader, fixups=set(), include=include)
        #: As the settings name it.
        self.redis_url = DEFAULT_URL
        self._broker, _ = for_celery(DEFAULT_URL)

    def use_redis(self, url: str) -> None:
        """Take messages from this Redis from now on. Raises `RedisUnreachable`."""
        self._broker, options = for_celery(url)
        self.redis_url = url
        self.conf.update(broker_use_ssl=options)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:  # noqa: ARG002
        """Return a connection to our Redis, whatever Celery takes for its address."""
        return super().connection_for_read(self._broker, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:  # noqa: ARG002
        """Return a connection to our Redis, whatever Celery takes for its address."""
        return super().connection_for_write(self._broker, **options)
