"""Options that `scheduler` and `worker` share: where they are measured and how they log."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tapeworks.cli.interrupts import was_interrupted
from tapeworks.cli.option_kinds import Whole
from tapeworks.cluster.session import tell_at_once
from tapeworks.errors import EXPECTED, ExitCode, exit_code
from tapeworks.model.settings import HIGHEST_PORT, LEVELS, LogFormat, Setting, Settings
from tapeworks.workers.logs import LogSettings, line, logger, logging_to_stderr
from tapeworks.workers.streams import write_to_stderr

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A long-running command as the user wants it watched."""

    metrics_host: str
    metrics_port: int  #: 0: none
    logs: LogSettings
    process_logs: LogSettings  #: of the processes that it starts

    @contextmanager
    def registry(self) -> Iterator[CollectorRegistry | None]:
        """Yield where to register what is measured; None if nothing is."""
        if not self.metrics_port:
            yield None
            return
        from tapeworks.metrics.endpoint import serving

        with serving(self.metrics_host, self.metrics_port) as registry:
            yield registry

    def tell_interrupt(self, sentence: str) -> None:
        """Show the sentence of Ctrl-C past the stream: it may come in the middle of a line."""
        if self.logs.is_plain and not self.logs.is_json:
            tell_at_once(sentence)
        else:
            write_to_stderr(line(sentence, "interrupted"))


def with_service_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command these options; it gets them as its argument `service`, and logs by them."""

    @functools.wraps(command)
    def wrapper(
        metrics_host: str,
        metrics_port: int,
        log_format: str,
        log_level: str | None,
        **arguments: Any,
    ) -> int:
        format_ = LogFormat(log_format)
        service = Service(
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            logs=LogSettings(format=format_, level=log_level or "info", is_plain=not log_level),
            process_logs=LogSettings(format=format_, level=log_level or "warning"),
        )
        with logging_to_stderr(service.logs):
            return _run_logged(service, functools.partial(command, service=service, **arguments))

    decorated: Callable[..., int] = wrapper
    for option in reversed(_OPTIONS):  # the last one applied is listed first
        decorated = option(decorated)
    return decorated


def _run_logged(service: Service, command: Callable[[], int]) -> int:
    """Run it; how it ends is logged as everything else is."""
    try:
        return command()
    except EXPECTED as error:
        if not service.logs.is_json:
            raise
        logger.error(" ".join(str(error).split()), extra={"event": "error"})
        return exit_code(error)
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, KeyboardInterrupt) or was_interrupted():
            if not service.logs.is_json:
                raise
            logger.error("interrupted", extra={"event": "interrupted"})
            return ExitCode.INTERRUPTED
        logger.exception("Ended with an unexpected error", extra={"event": "bug"})
        return ExitCode.RUN_FAILED


class SettingOption(click.Option):
    """An option that is also a setting."""

    def __init__(self, *arguments: Any, setting: Setting[Any], **named: Any) -> None:
        default = setting.default
        super().__init__(*arguments, default=default, envvar=setting.variable, **named)
        self._setting = setting

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:  # noqa: ARG002
        given = self._setting.read(Settings(os.environ))
        return None if given is None else str(given)


_OPTIONS = (
    click.option(
        "--metrics-port",
        type=Whole(0, HIGHEST_PORT),
        cls=SettingOption,
        setting=Settings.metrics_port,
        help="serve metrics for Prometheus at this port; 0: do not  [default: 0]",
    ),
    click.option(
        "--metrics-host",
        cls=SettingOption,
        setting=Settings.metrics_host,
        show_default=True,
        help="address to serve them at; they have no password",
    ),
    click.option(
        "--log-format",
        type=click.Choice([each.value for each in LogFormat], case_sensitive=False),
        cls=SettingOption,
        setting=Settings.log_format,
        show_default=True,
        help="lines for people, or a JSON object in each",
    ),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        cls=SettingOption,
        setting=Settings.log_level,
        help="what to log; without it what people need to know, in sentences alone",
    ),
)
