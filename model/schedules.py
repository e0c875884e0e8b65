"""The learning rate of each iteration, with the same bits on every machine.

The C library's cosine may differ in its last bit from machine to machine; `decimal` does not.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from tapeworks.model.config import RunConfig
from tapeworks.model.update_config import Schedule

#: Rounded to float64 once, at the end: the 17 digits that decide it stand far before the last.
_CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN)

_PI = Decimal("3.14159265358979323846264338327950288419716939937510582")


def learning_rate(config: RunConfig, iteration: int) -> float:
    """The factor of this iteration's update.

    It rises evenly over the warm-up, to the configured rate at its last iteration. From there the
    schedule leads to the final rate, where an iteration after the last one would be.
    """
    peak, final = Decimal(config.learning_rate), Decimal(config.final_learning_rate)
    warmup = config.warmup_iterations
    with localcontext(_CONTEXT):
        if iteration < warmup:
            return float(peak * (iteration + 1) / warmup)
        passed = Decimal(iteration - warmup) / (config.iterations - warmup)
        return float(final + (peak - final) * _left(config.schedule, passed))


def _left(schedule: Schedule, passed: Decimal) -> Decimal:
    """The share of the way to the final rate that is still to go."""
    if schedule is Schedule.LINEAR:
        return 1 - passed
    if schedule is Schedule.COSINE:
        return (1 + _cosine(_PI * passed)) / 2
    return Decimal(1)


def _cosine(angle: Decimal) -> Decimal:
    """Taylor's series, until another term changes nothing; for angles from 0 to π."""
    total, term, order = Decimal(1), Decimal(1), 0
    while total + term != total or order == 0:
        order += 2
        term *= -angle * angle / (order * (order - 1))
        total += term
    return total
