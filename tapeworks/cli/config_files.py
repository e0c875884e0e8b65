"""Files of settings in YAML or TOML, read so that nothing in them has two meanings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tapeworks.errors import UsageError
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.given_settings import OPTION_PREFIX

#: The endings of files that are read.
YAML_ENDINGS, TOML_ENDING = {".yaml", ".yml"}, ".toml"

#: What YAML calls nothing.
NULLS = {"", "~", "null", "Null", "NULL"}

#: Of values that say nothing about their type; any other tag was written by a person.
PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML or TOML file. Raises `UsageError` or `ConfigurationError`.

    A value in YAML is text, as on the command line: versions of YAML disagree about what `010`,
    `1:30`, `yes` and `1e-3` are.
    """
    suffix = path.suffix.lower()
    if suffix not in {TOML_ENDING, *YAML_ENDINGS}:
        raise UsageError(f"Expected a configuration in .toml, .yaml or .yml. Received: {path}.")
    text = _text_of(path)
    try:
        found = _read_toml(text) if suffix == TOML_ENDING else _read_yaml(text)
        return _by_field(found)
    except RecursionError as error:
        raise ConfigurationError(f"{path} cannot be parsed: too deeply nested.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be parsed: {error}.") from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows writes a byte order mark before it
    except OSError as error:
        raise UsageError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The configuration {path} is not UTF-8 text.") from error


def _by_field(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The values by their fields; `images-per-iteration` is the name of one, too."""
    values: dict[str, Any] = {}
    for name, value in found:
        field = name.replace("-", "_")
        if field in values:
            raise ValueError(f"expected each setting once. Received: {field} twice")
        values[field] = value
    options = values.get("options")
    for name in options if isinstance(options, dict) else ():
        if OPTION_PREFIX + name in values:
            raise ValueError(f"expected each setting once. Received: {OPTION_PREFIX}{name} twice")
    return values


def _read_toml(text: str) -> Iterable[tuple[str, Any]]:
    """To TOML `option.hidden` is `hidden` in a table `option`."""
    for name, value in tomllib.loads(text).items():
        if f"{name}." == OPTION_PREFIX and isinstance(value, dict):
            yield from ((OPTION_PREFIX + key, one) for key, one in value.items())
        else:
            yield name, value


def _read_yaml(text: str) -> Iterable[tuple[str, Any]]:
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    if root is None or (isinstance(root, yaml.ScalarNode) and _scalar(root) is None):
        return []
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("expected settings by name, such as images: 50")
    _check_tag(root)
    return [
        (name := _name(key), _options(value) if name == "options" else _value(name, value))
        for key, value in root.value
    ]


def _options(node: yaml.Node) -> Any:
    """The options of a user's network, each one value."""
    if not isinstance(node, yaml.MappingNode):
        return _value("options", node)
    _check_tag(node)
    named = [(_name(key), value) for key, value in node.value]
    return _by_field((name, _value(name, value)) for name, value in named)


def _name(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"expected the name of a setting in {_line(node)}")
    _check_tag(node)
    return str(node.value)


def _value(name: str, node: yaml.Node) -> Any:
    """Return one value, or a list of them."""
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    scalars = [item for item in items if isinstance(item, yaml.ScalarNode)]
    if len(scalars) < len(items):
        raise ValueError(f"{name}: expected one value or a list of values in {_line(node)}")
    _check_tag(node)
    values = [_scalar(item) for item in scalars]
    return values if isinstance(node, yaml.SequenceNode) else values[0]


def _scalar(node: yaml.ScalarNode) -> str | None:
    _check_tag(node)
    if node.style is None and node.value in NULLS:
        return None
    return str(node.value)


def _check_tag(node: yaml.Node) -> None:
    if node.tag not in PLAIN_TAGS:
        raise ValueError(f"expected values without tags. Received: {node.tag} in {_line(node)}")


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
