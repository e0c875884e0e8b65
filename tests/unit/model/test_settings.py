"""Settings: one declaration of each variable, read when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapeworks.model.errors import VariableUnreadable
from tapeworks.model.settings import PREFIX, LogFormat, Settings


def test_what_is_not_set_is_the_default() -> None:
    settings = Settings({})
    for setting in Settings.list_all():
        assert setting.read(settings) is None
        assert setting.__get__(settings, Settings) == setting.default


def test_a_value_is_of_its_settings_type() -> None:
    settings = Settings(
        {
            "TAPEWORKS_METRICS_PORT": " 9540",
            "TAPEWORKS_LOG_FORMAT": "JSON",
            "TAPEWORKS_DATA_DIR": "/data",
        }
    )
    assert settings.metrics_port == 9540
    assert LogFormat(settings.log_format) is LogFormat.JSON
    assert settings.data_dir == Path("/data")


def test_a_bad_value_stops_nobody_who_does_without() -> None:
    settings = Settings({"TAPEWORKS_LOG_LEVEL": "loud", "TAPEWORKS_REDIS_URL": "redis://h"})
    assert settings.redis_url == "redis://h"
    with pytest.raises(VariableUnreadable, match=r"debug, info, warning or error\. Received: loud"):
        _ = settings.log_level


@pytest.mark.parametrize("value", ["-1", "65536", "٣", "http"])
def test_what_is_no_port_is_refused(value: str) -> None:
    with pytest.raises(VariableUnreadable, match=f"Received: {value}, which is no port"):
        _ = Settings({"TAPEWORKS_METRICS_PORT": value}).metrics_port


def test_every_setting_has_a_meaning_and_our_prefix() -> None:
    for setting in Settings.list_all():
        assert setting.meaning
        assert setting.variable.startswith(PREFIX)
