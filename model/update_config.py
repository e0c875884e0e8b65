"""The part of a run's configuration that decides an update: the optimizer and its learning rate."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Optimizer(StrEnum):
    """The rule that turns mean gradients into a direction."""

    SGD = "sgd"  #: against the mean gradient; remembers nothing
    MOMENTUM = "momentum"  #: against the sum of all mean gradients, older ones faded
    ADAM = "adam"  #: against their running mean, over the root of that of their squares


class Schedule(StrEnum):
    """The course of the learning rate after the warm-up."""

    CONSTANT = "constant"  #: stays
    LINEAR = "linear"  #: goes to the final one in a straight line
    COSINE = "cosine"  #: goes to the final one along half a cosine


#: A share of what was remembered; 1 in float32 would never let go of anything.
_Share = Annotated[float, Field(ge=0, le=0.999999, allow_inf_nan=False)]

#: The settings that only one optimizer reads.
_READ_BY = {
    "momentum": Optimizer.MOMENTUM,
    "adam_beta_1": Optimizer.ADAM,
    "adam_beta_2": Optimizer.ADAM,
    "adam_epsilon": Optimizer.ADAM,
}


class UpdateConfig(BaseModel):
    """Settings of the update."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: Annotated[
        float,
        Field(ge=1e-30, le=1e30, allow_inf_nan=False, description="factor of the mean gradient"),
    ] = 0.001
    optimizer: Annotated[
        Optimizer, Field(description="momentum and adam remember the gradients before")
    ] = Optimizer.SGD
    momentum: Annotated[
        _Share, Field(description="share of the earlier gradients' sum that momentum keeps")
    ] = 0.9
    adam_beta_1: Annotated[
        _Share, Field(description="share that adam keeps of the gradients' running mean")
    ] = 0.9
    adam_beta_2: Annotated[
        _Share, Field(description="share that adam keeps of the squares' running mean")
    ] = 0.999
    adam_epsilon: Annotated[
        float,
        Field(ge=1e-30, le=1e30, allow_inf_nan=False, description="added to what adam divides by"),
    ] = 1e-8
    schedule: Annotated[
        Schedule, Field(description="where the learning rate goes after the warm-up")
    ] = Schedule.CONSTANT
    warmup_iterations: Annotated[
        int, Field(ge=0, description="first iterations, in which the learning rate rises evenly")
    ] = 0
    final_learning_rate: Annotated[
        float,
        Field(ge=0, le=1e30, allow_inf_nan=False, description="where linear and cosine lead"),
    ] = 0.0

    @model_validator(mode="after")
    def _every_setting_is_read(self) -> Self:
        for name, reader in _READ_BY.items():
            value = getattr(self, name)
            if self.optimizer is not reader and value != UpdateConfig.model_fields[name].default:
                raise ValueError(
                    f"Only the optimizer {reader} reads {name}; choose it, or leave {name} out. "
                    f"Received: {name}={value} optimizer={self.optimizer}"
                )
        if self.schedule is Schedule.CONSTANT and self.final_learning_rate:
            raise ValueError(
                "A constant learning rate goes nowhere; choose schedule=linear or schedule=cosine, "
                "or leave final_learning_rate out. "
                f"Received: final_learning_rate={self.final_learning_rate} schedule=constant"
            )
        return self
