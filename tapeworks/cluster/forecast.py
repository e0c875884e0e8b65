"""The number of workers with which `tapeworks train` is fastest, estimated from the configuration.

What is estimated is the time by which a command's ways of computing differ; what they share, such
as loading data and committing, is left out. All constants of the queue stand here: measured on a
core of an AMD EPYC with AVX-512, and rather against workers, since computing without them can never
lose. Those of computing an image are each network's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tapeworks.model.config import RunConfig
from tapeworks.model.networks.spec import GradientForm

#: Seconds that a command with workers takes longer, beside its iterations: each worker loads
#: TensorFlow and compiles, all at the same time. Next to nothing while the cores have nothing else.
START_SECONDS = 2.0

#: Seconds that a queue takes in every iteration, and for each worker's shard in it.
ITERATION_SECONDS = 6e-3
SHARD_SECONDS = 1e-3

#: Seconds for each byte of per-image gradients, from the worker to their sum.
BYTE_SECONDS = 4e-9

#: Workers are started where they take at most this share of the time without them: what counts as
#: two cores may be one with two threads, and is rarely idle.
WORTH_IT = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The time of a run's iterations on this machine, with workers and without."""

    config: RunConfig
    iterations: int  #: that are to be computed
    cores: int  #: that the workers may use

    def choose_workers(self) -> int:
        """Return the fastest number of workers; 0: none, and no queue.

        A run with audits or a number of shards has as many as there are cores: both need a queue.
        """
        if self._needs_queue:
            return self.cores
        counts = range(2, min(self.cores, self._microbatches) + 1)
        best = min(counts, key=self.seconds, default=0)
        return best if self.seconds(best) <= WORTH_IT * self.seconds(0) else 0

    def seconds(self, workers: int) -> float:
        """Estimate the seconds of the iterations and of starting the workers."""
        images, network = self.config.images_in_an_iteration, self.config.spec
        computing = images * network.image_seconds
        if not workers:
            return self.iterations * computing
        computing /= min(workers, self.cores, self._microbatches)
        queue = ITERATION_SECONDS + workers * SHARD_SECONDS
        if self.config.gradient_form is GradientForm.PER_IMAGE:
            queue += 4 * network.parameter_count * images * BYTE_SECONDS
        return START_SECONDS + self.iterations * (computing + queue)

    def explain(self, asked: int | None) -> str | None:
        """Return the sentence for a user whose run would not be faster with workers."""
        images = self.config.images_in_an_iteration
        work = f"{_count(self.iterations, 'iteration')} of {_count(images, 'image')}"
        if asked is None and not self.choose_workers():
            workers = _count(self.cores, "worker")
            return f"Computing in this process: {workers} would hardly be faster for {work}"
        if not asked or self._needs_queue or self.seconds(asked) < self.seconds(0):
            return None
        are = "is" if asked == 1 else "are"
        return (
            f"{_count(asked, 'worker')} {are} no faster than this process alone for {work}; "
            "leave out --workers to compute without them"
        )

    @property
    def _needs_queue(self) -> bool:
        return bool(self.config.audit or self.config.shards)

    @property
    def _microbatches(self) -> int:
        return math.ceil(self.config.images_in_an_iteration / self.config.spec.microbatch_size)


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
