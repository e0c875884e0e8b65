"""Losses of one iteration after the other, over sets of images that differ in size."""

from __future__ import annotations

from tapeworks.storage.records import IterationRecord, loss_text, sum_words


class UsualImages:
    """The size of the largest image set so far, and losses that name theirs where it differs."""

    def __init__(self) -> None:
        self._most = 0

    def rise(self, images: int) -> bool:
        """Note an iteration's images; True if they are more than all before."""
        rises = images > self._most
        self._most = max(images, self._most)
        return rises

    def loss(self, record: IterationRecord) -> str:
        """The loss for people, with its images where these are not the usual ones."""
        unit = "" if record.images == self._most else f", {sum_words(record.images)}"
        self.rise(record.images)
        return f"{loss_text(record.loss)}{unit}"
