"""From the mean gradient to the update: direction, optimizer state, learning rate.

Only + − × ÷ √ on float32 arrays, one after the other, which every machine rounds alike; a rate is
computed in decimals, for the same reason.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import numpy as np

from tapeworks.model.config import RunConfig
from tapeworks.model.errors import ParametersError
from tapeworks.model.parameters import Arrays, all_finite, from_bytes, to_bytes
from tapeworks.model.update_config import Optimizer, Schedule, UpdateConfig

#: What is remembered of each parameter array, by optimizer: float32 arrays of its shape, called
#: "conv_1.velocity" and so on.
VELOCITY = "velocity"
MEAN, MEAN_OF_SQUARES = "mean", "mean_of_squares"
_REMEMBERED = {
    Optimizer.SGD: (),
    Optimizer.MOMENTUM: (VELOCITY,),
    Optimizer.ADAM: (MEAN, MEAN_OF_SQUARES),
}

#: Adam's betas to the power of the updates so far, float64 of shape (1,).
BETA_1_POWER, BETA_2_POWER = "beta_1_power", "beta_2_power"

#: Rounded to float64 once, at the end: the 17 digits that decide it stand far before the last.
_CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN)

_PI = Decimal("3.14159265358979323846264338327950288419716939937510582")


def count_remembered(optimizer: Optimizer) -> int:
    """Count the arrays that the optimizer keeps beside each array of the parameters."""
    return len(_REMEMBERED[optimizer])


def initial_state(config: RunConfig) -> Arrays:
    """The optimizer's state before the first update; empty for plain SGD."""
    state: Arrays = {
        f"{name}.{kind}": np.zeros(shape, np.float32)
        for kind in _REMEMBERED[config.optimizer]
        for name, shape in config.spec.shapes.items()
    }
    if config.optimizer is Optimizer.ADAM:
        state |= {BETA_1_POWER: np.ones(1), BETA_2_POWER: np.ones(1)}
    return state


def direction(config: UpdateConfig, state: Arrays, mean_gradient: Arrays) -> tuple[Arrays, Arrays]:
    """Return the direction that `assign` takes, and the optimizer's state after it.

    The caller checks both for finiteness.
    """
    if config.optimizer is Optimizer.SGD:
        return mean_gradient, {}
    towards = _momentum if config.optimizer is Optimizer.MOMENTUM else _adam
    with np.errstate(over="ignore", invalid="ignore"):
        return towards(config, state, mean_gradient)


def _momentum(config: UpdateConfig, state: Arrays, mean_gradient: Arrays) -> tuple[Arrays, Arrays]:
    """velocity ← momentum × velocity + mean gradient, which is the direction (Polyak 1964)."""
    kept = np.float32(config.momentum)
    velocity = {
        name: kept * remembered + mean_gradient[name]
        for name, remembered in _of(state, VELOCITY).items()
    }
    return velocity, _name_arrays(velocity, VELOCITY)


def _adam(config: UpdateConfig, state: Arrays, mean_gradient: Arrays) -> tuple[Arrays, Arrays]:
    """Algorithm 1 of Kingma & Ba, Adam: A Method for Stochastic Optimization (2015)."""
    squares = {name: array * array for name, array in mean_gradient.items()}
    mean = _running(config.adam_beta_1, _of(state, MEAN), mean_gradient)
    mean_of_squares = _running(config.adam_beta_2, _of(state, MEAN_OF_SQUARES), squares)
    powers = {
        BETA_1_POWER: state[BETA_1_POWER] * config.adam_beta_1,
        BETA_2_POWER: state[BETA_2_POWER] * config.adam_beta_2,
    }
    # Both running means began at 0; what they lack because of that is divided out.
    begun, begun_of_squares = ((1 - power).astype(np.float32) for power in powers.values())
    epsilon = np.float32(config.adam_epsilon)
    towards = {
        name: (mean[name] / begun) / (np.sqrt(mean_of_squares[name] / begun_of_squares) + epsilon)
        for name in mean_gradient
    }
    return towards, _name_arrays(mean, MEAN) | _name_arrays(
        mean_of_squares, MEAN_OF_SQUARES
    ) | powers


def _running(beta: float, remembered: Arrays, new: Arrays) -> Arrays:
    """beta × remembered + (1 − beta) × new."""
    kept, added = np.float32(beta), np.float32(1 - beta)
    return {name: kept * array + added * new[name] for name, array in remembered.items()}


def _of(state: Arrays, kind: str) -> Arrays:
    """One kind of what is remembered, by parameter."""
    ending = f".{kind}"
    return {
        name.removesuffix(ending): array for name, array in state.items() if name.endswith(ending)
    }


def _name_arrays(arrays: Arrays, kind: str) -> Arrays:
    return {f"{name}.{kind}": array for name, array in arrays.items()}


def state_bytes(state: Arrays) -> bytes | None:
    """The state as safetensors bytes; None if there is nothing to remember."""
    return to_bytes(state) if state else None


def read_state(config: RunConfig, payload: bytes | None) -> Arrays:
    """The stored state. Raises `ParametersError` if it is not what this optimizer remembers."""
    state, expected = from_bytes(payload) if payload else {}, initial_state(config)
    if _layout(state) != _layout(expected) or not all_finite(state):
        raise ParametersError(
            f"Expected what the optimizer {config.optimizer} remembers, in finite numbers: "
            f"{_describe_state(expected)}. Received: {_describe_state(state)}."
        )
    return state


def _describe_state(state: Arrays) -> str:
    layout = _layout(state).items()
    return ", ".join(f"{name} {dtype} {shape}" for name, (dtype, shape) in layout) or "nothing"


def _layout(arrays: Arrays) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    return {name: (arrays[name].dtype, arrays[name].shape) for name in sorted(arrays)}


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
        return float(final + (peak - final) * _remaining_share(config.schedule, passed))


def _remaining_share(schedule: Schedule, passed: Decimal) -> Decimal:
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
