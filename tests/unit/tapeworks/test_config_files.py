"""Files of settings: what is read as it is meant, and what is refused for its second meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tapeworks.cli.config_files import read_config_file
from tapeworks.errors import UsageError
from tapeworks.model.config import run_config
from tapeworks.model.errors import ConfigurationError


def settings(path: Path, content: str | bytes) -> dict[str, Any]:
    """The settings of a run whose file holds this."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return run_config(read_config_file(path)).model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        ("images: 010", {"images": 10}),  # 8 in YAML 1.1
        ("images: 1_000", {"images": 1000}),
        ("learning_rate: 1e-3", {"learning_rate": 0.001}),  # a text in YAML 1.1
        ("learning_rate: .5", {"learning_rate": 0.5}),
        ("learning_rate: +1.5", {"learning_rate": 1.5}),
        ("allow_mixed_workers: yes", {"allow_mixed_workers": True}),
        ("allow_mixed_workers: Off", {"allow_mixed_workers": False}),
        ("allow_mixed_workers: true", {"allow_mixed_workers": True}),
        ("microbatch_size: null", {"microbatch_size": None}),
        ("microbatch_size: ~", {"microbatch_size": None}),
        ("microbatch_size:", {"microbatch_size": None}),
        ("classes: [03, 6]", {"classes": [3, 6]}),
        ("classes: 3,6", {"classes": [3, 6]}),
        ("classes: &those [1, 2]", {"classes": [1, 2]}),
        ("dataset: no.npz", {"dataset": "no.npz"}),
        ('dataset: "mnist"', {"dataset": "mnist"}),
        ("test-images: 5", {"test_images": 5}),
        ("\ufeffimages: 5\r\nfilters: 2\r\n", {"images": 5, "filters": 2}),
        ("{'images': 5, \"filters\": 2}", {"images": 5, "filters": 2}),
        ("", {}),
        ("# nothing\n---\n", {}),
        ("null", {}),
    ],
)
def test_yaml_is_read_as_the_command_line_is(
    content: str, meant: dict[str, Any], tmp_path: Path
) -> None:
    assert settings(tmp_path / "run.yaml", content) == meant


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("seed: 1:30", "seed=1:30"),  # 90 in YAML 1.1
        ("seed: 0x10", "seed=0x10"),
        ("seed: 0b11", "seed=0b11"),
        ("seed: 2026-01-31", "seed=2026-01-31"),
        ("images: yes", "images=yes"),
        ("images:", "images=None"),
        ("learning_rate: .inf", "learning_rate=.inf"),
        ("learning_rate: NaN", "learning_rate=NaN"),
        ("images: 5\nimages: 6", "images twice"),
        ("test-images: 5\ntest_images: 6", "test_images twice"),
        ('{"images": 5, "images": 6}', "images twice"),
        ("<<: {images: 5}", "<<: expected one value or a list of values in line 1"),
        ("images: {a: 1}", "images: expected one value or a list of values in line 1"),
        ("classes: [[3], 6]", "classes: expected one value or a list of values"),
        ("classes: &a [*a]", "classes: expected one value or a list of values"),
        ("images: !!int 5", "without tags"),
        ("images: !!python/name:os.system", "without tags"),
        ("!!set {images}", "without tags"),
        ("? [a]\n: 5", "name of a setting in line 1"),
        ("images: 5\n---\nimages: 6", "single document"),
        ("images:\t5\n\tfilters: 2", "cannot be parsed"),
        ("images: *other", "undefined alias"),
        ("5", "settings by name"),
        ("- images", "settings by name"),
        ("images: '5", "cannot be parsed"),
        ("images: 5\0", "cannot be parsed"),
    ],
)
def test_yaml_with_a_second_meaning_is_refused(content: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        settings(tmp_path / "run.yaml", content)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("images = 5\nimages = 6", "Cannot overwrite a value"),
        ("test-images = 5\ntest_images = 6", "test_images twice"),
        ("images = true", "images=True"),
        ("classes = [3, true]", "classes: expected a number, not a truth value"),
        ("learning_rate = nan", "learning_rate=nan"),
        ("seed = 2026-01-31", "seed=2026-01-31"),
        ("images = 010", "cannot be parsed"),
    ],
)
def test_toml_with_a_second_meaning_is_refused(content: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        settings(tmp_path / "run.toml", content)
    assert words in str(refusal.value)


def test_toml_from_windows_is_read(tmp_path: Path) -> None:
    assert settings(tmp_path / "run.toml", "\ufeffimages = 1_000\r\n") == {"images": 1000}


@pytest.mark.parametrize("ending", ["yaml", "toml"])
def test_a_file_in_utf_16_is_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        settings(tmp_path / f"run.{ending}", "images: 5".encode("utf-16"))


@pytest.mark.parametrize("name", ["data_dir", "dataset"])
def test_a_path_in_a_file_starts_at_home(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    read = settings(tmp_path / "run.yaml", f"{name}: ~/digits.npz")
    assert read == {name: "/home/ada/digits.npz"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("$HOME/digits", "write the path in place of $HOME"),
        ("/data/${WHO}/digits", "write the path in place of ${WHO}"),
        ("~nosuchuser/digits", "no home directory"),
    ],
)
def test_a_path_that_a_shell_would_have_changed_is_refused(
    value: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        settings(tmp_path / "run.toml", f"data_dir = '{value}'")
    assert words in str(refusal.value)
    assert "value error" not in str(refusal.value)
