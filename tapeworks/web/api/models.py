"""The values that requests and answers are made of. Records are those of storage."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from tapeworks.errors import InvalidValue
from tapeworks.model.config import LARGEST_COUNT
from tapeworks.plotting.image_losses import By
from tapeworks.storage.queries.query_limits import DEFAULT_SECONDS, SHORTEST_SECONDS
from tapeworks.storage.records import HIGHEST_PRIORITY, LOWEST_PRIORITY, RunRecord, RunStatus

#: Items of one page, and rows of a query's answer: unless told otherwise, and at most.
DEFAULT_ITEMS, MOST_ITEMS = 100, 1000
DEFAULT_ROWS, MOST_ROWS = 1000, 10_000

#: Characters of a cursor: a value that runs are sorted by may be a note.
LONGEST_CURSOR = 8000

Item = TypeVar("Item")

#: A run's id, a unique prefix of one, or its name.
Reference = Annotated[str, Path(min_length=1, max_length=200)]

#: A number of an iteration, or how many there are.
Number = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]

Priority = Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)]


class _Asked(BaseModel):
    """A part of a request. A name that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid")


class _Body(_Asked):
    """A body, in which a number is no text, and none that JSON does not have."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class PageQuery(_Asked):
    """A page of a listing."""

    limit: int = Field(DEFAULT_ITEMS, ge=1, le=MOST_ITEMS)
    cursor: str | None = Field(
        None, max_length=LONGEST_CURSOR, description="the page before's next_cursor"
    )


class RunsQuery(PageQuery):
    """The runs that are wanted, as `tapeworks runs` takes them."""

    where: str | None = Field(None, description="a condition over the columns of the view runs")
    status: list[RunStatus] = Field([], description="any of them")
    tag: list[str] = Field([], description="KEY=VALUE; all of them")
    submitter: str | None = Field(None, description="the name of the user who submitted them")
    since: str | None = Field(None, description="a time, a day, or so long ago, such as 30d")
    sort: str = Field("created_at", description="a column of the view runs, or option.NAME")
    order: Literal["asc", "desc"] = "desc"


class LedgerQuery(PageQuery):
    """A part of a ledger."""

    iteration: Number | None = Field(None, description="of this one only")


class HardestQuery(PageQuery):
    """The order of images, by their losses in all iterations or in one."""

    by: By = Field(By.LAST, description="the last known loss, or the mean over the iterations")
    iteration: Number | None = Field(None, description="losses of this one only")


class ParametersQuery(_Asked):
    """The parameters that are wanted."""

    after: Number | None = Field(None, description="so many iterations; default: the newest")


class NoQuery(_Asked):
    """Nothing more than the path."""


class Noted(_Body):
    """The words that a run is remembered and found by."""

    name: str | None = None
    tags: dict[str, str | int | float] = {}
    note: str | None = None


class Description(Noted):
    """A run's description beside its configuration."""

    priority: Priority = 0


class Submission(Description):
    """A run, or one for every combination of the settings that vary."""

    config: dict[str, Any] = Field({}, description="settings of a run; the rest are defaults")
    vary: dict[str, list[Any]] = Field({}, description="choices for settings, by name")
    paused: bool = False


class Retry(Description):
    """A run again. What is not given of its description is the old one's."""

    after: Number | None = Field(None, description="begin after so many iterations")
    changes: dict[str, Any] = Field({}, description="other settings, by name")


class Reason(_Body):
    """The words for the history."""

    reason: str | None = None


class NewPriority(_Body):
    """A run's place in the queue."""

    priority: Priority


class SqlQuery(_Body):
    """One SELECT over the views."""

    sql: str = Field(min_length=1)
    seconds: float = Field(DEFAULT_SECONDS, ge=SHORTEST_SECONDS, le=DEFAULT_SECONDS)
    limit: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="rows at most")


class Page(BaseModel, Generic[Item]):
    """Neighbours of a listing."""

    items: list[Item]
    #: Gives the next page; None at the end.
    next_cursor: str | None


class Rows(BaseModel):
    """A query's answer. A number that JSON does not have, such as infinity, is null."""

    columns: list[str]
    rows: list[list[str | int | float | None]]
    #: There are more than were asked for.
    more: bool


class Submitted(BaseModel):
    """The runs of one submission, in the order of their combinations."""

    runs: list[Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(RunRecord):
    """A run with its tags."""

    tags: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInIteration:
    """The values of an image in an iteration."""

    loss: float | None
    gradient_norm: float | None
    #: An index into the run's classes.
    predicted: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(ImageInIteration):
    """An image of an iteration."""

    #: Its number in the run's data.
    image: int
    #: Its index in the data set as the user's file has it.
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLoss(ImageInIteration):
    """An iteration of an image."""

    iteration: int


PageAsked = Annotated[PageQuery, Query()]
NothingAsked = Annotated[NoQuery, Query()]


def as_run(record: RunRecord, tags: dict[str, str]) -> Run:
    """Return the record and its tags as one value."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return Run(**values, tags=tags)


def write_cursor(*place: Any) -> str:
    """A place as text that clients pass on unread."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *default: Any) -> list[Any]:
    """Return the place, or the one of a listing's begin. Raises `InvalidValue`."""
    if cursor is None:
        return list(default)
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if write_cursor(*place) == cursor and len(place) == len(default):
            checked = [_same_kind(one, wanted) for one, wanted in zip(place, default, strict=True)]
            if all(checked):
                return list(place)
    except (ValueError, TypeError, RecursionError):
        pass
    raise InvalidValue("a page's next_cursor", "cursor", cursor)


def _same_kind(value: Any, wanted: Any) -> bool:
    """Check a part of a place: whole numbers that a database has room for, text, or any value."""
    if wanted is None:
        return value is None or type(value) in (str, int, float)
    in_range = type(value) is not int or 0 <= value <= LARGEST_COUNT
    return type(value) is type(wanted) and in_range
