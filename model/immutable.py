"""Settings that are not changed: what is asked of them otherwise is answered in one sentence."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Never, Self

from pydantic import BaseModel, ValidationError

from tapeworks.model.errors import ConfigurationError
from tapeworks.model.given_settings import sentence
from tapeworks.model.other_names import nearest_setting


class Immutable(BaseModel):
    """The base of settings of which copies are made, each checked as a whole."""

    if not TYPE_CHECKING:  # type checkers know that settings are given by name

        def __new__(cls, *given: Any, **_: Any) -> Self:
            """Return one without settings. Raises `ConfigurationError` for values without names."""
            if given:
                name, value = cls.__name__, reprlib.repr(given[0])
                raise ConfigurationError(
                    f"Expected settings by name, as in {name}(seed=1); those of a dictionary as "
                    f"{name}(**settings). Received: {name}({value})."
                )
            return super().__new__(cls)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values for some settings. Raises `ConfigurationError`."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate(given | changes)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As `replace`, in pydantic's words."""
        return self.replace(**update) if update else super().model_copy(deep=deep)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As pydantic's; raises `ConfigurationError`, also for what is no JSON."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            raise ConfigurationError(sentence(error)) from None

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield the settings that differ from their defaults, as they may be given again."""
        given = dict(self)
        for name, field in type(self).model_fields.items():
            value = given[name]
            default = field.get_default(call_default_factory=True, validated_data=given)
            if field.description and value != default:
                yield name, str(value) if isinstance(value, StrEnum) else value

    def __setattr__(self, name: str, value: Any) -> Never:
        raise ConfigurationError(
            "A configuration is not changed; make another one of it with replace(). "
            f"Received: {name}={value}."
        )

    def __delattr__(self, name: str) -> Never:
        raise ConfigurationError(
            "A configuration is not changed; make another one of it with replace(). "
            f"Received: del {name}."
        )

    if not TYPE_CHECKING:  # type checkers know every setting, and that there are no others

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError as error:
                near = None if name.startswith("_") else self._nearest(name)
                hint = f" Did you mean {near}?" if near else ""
                raise AttributeError(f"{error}.{hint}") from None

    @classmethod
    def _nearest(cls, name: str) -> str | None:
        return nearest_setting(name, cls.model_fields)
