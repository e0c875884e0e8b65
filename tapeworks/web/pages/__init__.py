"""The pages, a module for each: what is asked in the URL, and the values that its template shows.

A page has a function `make_router`, and a line in `PAGES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter

from tapeworks.web.pages import (
    compare,
    curves,
    downloads,
    images,
    iteration,
    login,
    maps,
    new_run,
    run,
    run_changes,
    runs,
    sql,
    workers,
)
from tapeworks.web.site import Site


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A page's line in the navigation."""

    title: str
    path: str
    #: The page is of no use where nothing may be changed.
    writes: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The routes of one page or several, and a line in the navigation if it has one."""

    make_router: Callable[[Site], APIRouter]
    entry: Entry | None = None


#: All pages, in the order of the navigation.
PAGES = (
    Page(make_router=runs.make_router, entry=Entry(title="Runs", path="/runs")),
    Page(make_router=run.make_router),
    Page(make_router=run_changes.make_router),
    Page(make_router=downloads.make_router),
    Page(make_router=iteration.make_router),
    Page(make_router=compare.make_router, entry=Entry(title="Compare", path="/compare")),
    Page(make_router=curves.make_router),
    Page(make_router=images.make_router),
    Page(make_router=maps.make_router),
    Page(make_router=workers.make_router, entry=Entry(title="Workers", path="/workers")),
    Page(make_router=sql.make_router, entry=Entry(title="SQL", path="/sql")),
    Page(make_router=new_run.make_router, entry=Entry(title="New run", path="/new", writes=True)),
    Page(make_router=login.make_router),
)
