"""The optimizers again, a number at a time: plain Python, rounded to float32 each time.

For + − × ÷ √ of float32 numbers, Python's float64 result rounded to float32 is the float32 result:
53 bits are more than twice 24 and two (Figueroa, When is double rounding innocuous?, 1995).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field


def f32(value: float) -> float:
    """The float32 nearest to a float64."""
    nearest: float = struct.unpack("f", struct.pack("f", value))[0]
    return nearest


def moved(parameter: float, towards: float, rate: float) -> float:
    """parameter − rate × towards."""
    return f32(parameter - f32(f32(rate) * towards))


@dataclass
class Momentum:
    """One parameter under momentum."""

    momentum: float
    velocity: float = 0.0

    def towards(self, gradient: float) -> float:
        self.velocity = f32(f32(f32(self.momentum) * self.velocity) + gradient)
        return self.velocity


@dataclass
class Adam:
    """One parameter under Adam; the names are those of the paper's algorithm 1."""

    beta_1: float
    beta_2: float
    epsilon: float
    m: float = 0.0
    v: float = 0.0
    powers: list[float] = field(default_factory=lambda: [1.0, 1.0])

    def towards(self, gradient: float) -> float:
        self.m = f32(f32(f32(self.beta_1) * self.m) + f32(f32(1 - self.beta_1) * gradient))
        square = f32(gradient * gradient)
        self.v = f32(f32(f32(self.beta_2) * self.v) + f32(f32(1 - self.beta_2) * square))
        self.powers = [self.powers[0] * self.beta_1, self.powers[1] * self.beta_2]
        m_hat = f32(self.m / f32(1 - self.powers[0]))
        v_hat = f32(self.v / f32(1 - self.powers[1]))
        return f32(m_hat / f32(f32(math.sqrt(v_hat)) + f32(self.epsilon)))
