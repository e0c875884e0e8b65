"""Claims to drive a run, their leases, and the fence before everything that an owner writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, false, func, not_, or_, select, update

from tapeworks.storage.actors import Actor, current_actor
from tapeworks.storage.errors import (
    HistoryRolledBack,
    LeaseLost,
    RunNotFound,
    StateConflict,
    StorageError,
)
from tapeworks.storage.owners import is_alive, is_gone, name_owner
from tapeworks.storage.records import (
    Claim,
    Request,
    RunRecord,
    RunStatus,
    abandoned_words,
    iteration_count,
)
from tapeworks.storage.references import run_by_id
from tapeworks.storage.rows import all_of, columns_of, fetch, note
from tapeworks.storage.tables import runs

#: No lease is nearly as long, for a bid may be older than the lease that it finds. One that seems
#: longer was written by a clock that was fast and has been put right; it holds nobody back.
LONGEST_LEASE = timedelta(seconds=120)

#: Columns of a run that nobody drives, and of one of which nothing is wanted either.
_NOBODY = {"owner": None, "lease_until": None}
_LEFT = _NOBODY | {"request": None, "request_reason": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A request to drive a run: its owner, its time, and how long it holds before it is renewed."""

    owner: str
    now: datetime
    lease_seconds: float
    actor: Actor | None = None  #: the user who wants this very run

    @property
    def lease_until(self) -> datetime:
        return self.now + timedelta(seconds=self.lease_seconds)


def find_lost_claim(connection: Connection, bids: Sequence[Bid]) -> Claim | None:
    """The claim that an earlier one of an owner's bids won, but whose answer was lost.

    Its lease is renewed: an owner that waited long for the database may have outlived it.
    """
    *earlier, bid = bids
    if not earlier:
        return None
    won = runs.c.lease_until.between(earlier[0].lease_until, earlier[-1].lease_until)
    statement = (
        update(runs)
        .where(runs.c.status == RunStatus.RUNNING, runs.c.owner == bid.owner, won)
        .values(lease_until=bid.lease_until)
        .returning(runs.c.id, runs.c.term, runs.c.name)
    )
    row = connection.execute(statement).first()
    return _claim(row, bid) if row else None


def take_next(
    connection: Connection,
    bid: Bid,
    fingerprints: Collection[str] = (),
    refused: Collection[str] = (),
) -> Claim | None:
    """Claim, of the submissions that nobody drives, the oldest of the highest priority.

    Those that workers of these fingerprints can compute, which refuse these networks, go before all
    others.
    """
    release_requested(connection, bid.now)
    deserted = and_(is_abandoned(connection, bid.now), runs.c.request.is_(None))
    free = or_(runs.c.status == RunStatus.QUEUED, deserted)
    oldest = (
        select(runs.c.id)
        .where(free)
        .order_by(
            case((can_be_computed(fingerprints, refused), 0), else_=1),
            runs.c.priority.desc(),
            runs.c.created_at,
            runs.c.id,
        )
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return _take(connection, bid, and_(runs.c.id == oldest, free), deserted)


def can_be_computed(
    fingerprints: Collection[str], refused: Collection[str] = ()
) -> ColumnElement[bool]:
    """The condition that workers of these fingerprints may go on with a run.

    They refuse the networks of these digests.
    """
    if not fingerprints:
        return false()
    mixed = runs.c.configuration["allow_mixed_workers"].as_boolean()
    fits = runs.c.fingerprint.in_(sorted(fingerprints))
    alike = or_(runs.c.fingerprint.is_(None), fits, mixed)
    network = runs.c.network_digest
    return and_(alike, or_(network.is_(None), network.not_in(sorted(refused))))


def take(connection: Connection, run_id: str, bid: Bid) -> Claim:
    """Claim this run for the user who acts, if nobody drives it and it has not ended."""
    bid = replace(bid, actor=current_actor())
    wait_for_writers(connection, run_id)
    release_requested(connection, bid.now)
    deserted = and_(is_abandoned(connection, bid.now), runs.c.request.is_(None))
    free = or_(runs.c.status.in_([RunStatus.QUEUED, RunStatus.PAUSED]), deserted)
    claim = _take(connection, bid, and_(runs.c.id == run_id, free), deserted)
    if claim is None:
        raise _not_free(run_by_id(connection, run_id))
    return claim


def _take(
    connection: Connection, bid: Bid, which: ColumnElement[bool], deserted: ColumnElement[bool]
) -> Claim | None:
    left_behind = set(connection.scalars(select(runs.c.id).where(deserted)))
    statement = (
        update(runs)
        .where(which)
        .values(
            status=RunStatus.RUNNING,
            reason=None,
            request=None,
            request_reason=None,
            owner=bid.owner,
            term=runs.c.term + 1,
            lease_until=bid.lease_until,
            started_at=func.coalesce(runs.c.started_at, bid.now),
        )
        .returning(runs.c.id, runs.c.term, runs.c.name, runs.c.completed_iterations)
    )
    taken = connection.execute(statement).one_or_none()
    if taken is None:
        return None
    kind = "taken over" if taken.id in left_behind else "claimed"
    message = (
        f"{kind} by {name_owner(bid.owner)} after {iteration_count(taken.completed_iterations)}"
    )
    note(connection, taken.id, bid.now, kind, message, bid.actor)
    return _claim(taken, bid)


def _claim(row: Any, bid: Bid) -> Claim:
    return Claim(run_id=row.id, owner=bid.owner, term=row.term, name=row.name)


def is_abandoned(connection: Connection, now: datetime) -> ColumnElement[bool]:
    """The condition that a run is running, but its lease is over or its owner provably dead."""
    running = runs.c.status == RunStatus.RUNNING
    is_leased = runs.c.lease_until.between(now, now + LONGEST_LEASE)
    leased = and_(running, is_leased)
    owners = connection.scalars(select(runs.c.owner).where(leased).distinct())
    gone = [owner for owner in owners if is_gone(owner)]
    return and_(running, or_(not_(is_leased), runs.c.owner.in_(gone)))


def release_abandoned(connection: Connection, now: datetime) -> list[RunRecord]:
    """Queue every abandoned run again, but for those whose owner is seen to live.

    A living owner that is late, because it loads images, say, only loses its run to a claim.
    """
    release_requested(connection, now)
    abandoned = all_of(RunRecord).where(is_abandoned(connection, now), runs.c.request.is_(None))
    in_order = abandoned.order_by(runs.c.created_at, runs.c.id)
    left = fetch(connection, RunRecord, in_order.with_for_update(skip_locked=True))
    return [_queue_again(connection, run, now) for run in left if not is_alive(run.owner or "")]


def is_deserted(run: RunRecord, now: datetime) -> bool:
    """Check that a running run's lease is over or its owner provably dead."""
    until = run.lease_until
    is_leased = until is not None and now <= until <= now + LONGEST_LEASE
    return not is_leased or is_gone(run.owner or "")


def release_requested(connection: Connection, now: datetime) -> None:
    """Pause or cancel the abandoned runs of which that was asked when they had an owner.

    An owner that lives after all, but is late, finds that its claim is over.
    """
    abandoned = all_of(RunRecord).where(is_abandoned(connection, now), runs.c.request.is_not(None))
    for run in fetch(connection, RunRecord, abandoned.with_for_update(skip_locked=True)):
        if run.request:
            stop(connection, run, now, run.request, run.request_reason)


def stop(
    connection: Connection,
    run: RunRecord,
    now: datetime,
    request: Request,
    reason: str | None,
    actor: Actor | None = None,
) -> None:
    """Pause or cancel a run that nobody drives; `actor` is the user who does, if one does now."""
    status = request.status
    reason = reason or f"{status} on request"
    values = {
        "status": status,
        "reason": reason,
        "ended_at": now if status.is_finished else None,
    } | _LEFT
    connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    note(connection, run.id, now, status.value, _describe(run, status, reason), actor)


def _describe(run: RunRecord, status: RunStatus, reason: str | None) -> str:
    message = f"{status} after {iteration_count(run.completed_iterations)}"
    return f"{message}: {reason}" if reason else message


def _queue_again(connection: Connection, run: RunRecord, now: datetime) -> RunRecord:
    done = iteration_count(run.completed_iterations)
    waiting = {"status": RunStatus.QUEUED, "reason": abandoned_words(run)}
    connection.execute(update(runs).where(runs.c.id == run.id).values(waiting | _NOBODY))
    message = f"{name_owner(run.owner)} ended unexpectedly after {done}"
    note(connection, run.id, now, "abandoned", message)
    return run_by_id(connection, run.id)


def wait_for_writers(connection: Connection, run_id: str) -> None:
    """Wait for transactions that write this run, and keep out others until this one ends.

    The transaction whose answer was lost may be ending only now, on a server that lives; what is
    read after this is its outcome. On SQLite every writer does so by beginning.
    """
    connection.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())


def hold(
    connection: Connection, claim: Claim, *conditions: ColumnElement[bool], **values: Any
) -> RunRecord:
    """The fence: write these values and keep the run's row, only if the claim still holds it.

    Without values it changes nothing, but nobody can take the run before the transaction ends.
    """
    statement = (
        update(runs)
        .where(*_claim_conditions(claim), *conditions)
        .values(term=claim.term, **values)
        .returning(*columns_of(RunRecord))
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise refusal(connection, claim)
    return RunRecord(**row._asdict())


def refusal(connection: Connection, claim: Claim) -> StorageError:
    """Return the error for a write that does not follow on what is stored.

    Raises `LeaseLost` if the run was deleted.
    """
    return _refusal(_find_claimed_run(connection, claim), claim)


def expect_remembered(connection: Connection, claim: Claim, completed_iterations: int) -> None:
    """Raise `HistoryRolledBack` if fewer iterations are stored than this owner has committed.

    To be called when the run's row is locked.
    """
    _check_remembered(_find_claimed_run(connection, claim), claim, completed_iterations)


def _check_remembered(run: RunRecord, claim: Claim, completed_iterations: int) -> None:
    if _holds(run, claim) and run.completed_iterations < completed_iterations:
        raise HistoryRolledBack(
            f"Run {run.id} stands after {run.completed_iterations} of "
            f"{iteration_count(run.iterations)}, although the database had confirmed "
            f"{completed_iterations}: it has lost its newest commits, as after a failover. "
            "The run goes on from what is stored."
        )


def expect_no_later(connection: Connection, claim: Claim) -> None:
    """Fence events: only the owner of the run, or its last owner, may write them."""
    run = _lock(connection, claim)
    if run.term != claim.term:
        raise _refusal(run, claim)


def leave(
    connection: Connection,
    claim: Claim,
    now: datetime,
    status: RunStatus,
    reason: str | None,
    after: int,
) -> None:
    """Give the run up in this status. Asked a second time, it is done already.

    A run that would wait to be taken or resumed goes where a person wanted it meanwhile. Raises
    `HistoryRolledBack` if fewer iterations are stored than `after`.
    """
    left = _lock(connection, claim)
    _check_remembered(left, claim, after)
    _give_up(connection, left, claim, now, status, reason)


def apply_request(connection: Connection, claim: Claim, now: datetime) -> None:
    """Pause or cancel the run as was asked; queue it again if that was taken back meanwhile."""
    left = _lock(connection, claim)
    if left.request and _holds(left, claim):
        stop(connection, left, now, left.request, left.request_reason)
    else:
        _give_up(connection, left, claim, now, RunStatus.QUEUED, None)


def _give_up(
    connection: Connection,
    left: RunRecord,
    claim: Claim,
    now: datetime,
    status: RunStatus,
    reason: str | None,
) -> None:
    if _has_left(left, claim, status):
        return
    wish = left.request
    if wish and wish.status is not status and not status.is_finished and _holds(left, claim):
        stop(connection, left, now, wish, left.request_reason)
        return
    ended_at = now if status.is_finished else None
    values = {"status": status, "reason": reason, "ended_at": ended_at}
    run = hold(connection, claim, **values, **_LEFT)
    note(connection, run.id, now, status.value, _describe(run, status, reason))


def _lock(connection: Connection, claim: Claim) -> RunRecord:
    """Return the run of a claim once no other writer has it, as `wait_for_writers` does."""
    wait_for_writers(connection, claim.run_id)
    return _find_claimed_run(connection, claim)


def _find_claimed_run(connection: Connection, claim: Claim) -> RunRecord:
    """The run of a claim, for whom it is lost if the run was deleted."""
    try:
        return run_by_id(connection, claim.run_id)
    except RunNotFound as error:
        raise LeaseLost(f"Run {claim.run_id} was deleted.") from error


def _claim_conditions(claim: Claim) -> list[ColumnElement[bool]]:
    return [
        runs.c.id == claim.run_id,
        runs.c.status == RunStatus.RUNNING,
        runs.c.owner == claim.owner,
        runs.c.term == claim.term,
    ]


def _holds(run: RunRecord, claim: Claim) -> bool:
    driven = run.status is RunStatus.RUNNING
    return driven and (run.owner, run.term) == (claim.owner, claim.term)


def _has_left(run: RunRecord, claim: Claim, status: RunStatus) -> bool:
    is_out = run.owner is None and run.term == claim.term
    return is_out and (run.status is status or not status.is_finished)


def _refusal(run: RunRecord, claim: Claim) -> StorageError:
    if _holds(run, claim):
        return StateConflict(
            f"Run {run.id} stands after {run.completed_iterations} of "
            f"{iteration_count(run.iterations)}; what was to be written does not follow on that."
        )
    return LeaseLost(
        f"Run {run.id} is {run.status} at term {run.term} with owner {name_owner(run.owner)}. "
        f"Received: a write by {name_owner(claim.owner)} of term {claim.term}; it must stop."
    )


def _not_free(run: RunRecord) -> StateConflict:
    if run.status is RunStatus.RUNNING:
        return StateConflict(
            f"Run {run.id} is driven by {name_owner(run.owner)}; stop it there or wait for its end."
        )
    return StateConflict(f"Run {run.id} is {run.status} and cannot go on. Submit a new run.")
