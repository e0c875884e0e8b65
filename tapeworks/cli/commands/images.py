"""`tapeworks images`: single images of a run, with what they were taken for."""

from __future__ import annotations

from pathlib import Path

import click

from tapeworks.cli.commands.show import run_argument
from tapeworks.cli.connection import open_history
from tapeworks.cli.option_kinds import PathType, Whole
from tapeworks.cli.outputs.files import check_writable, write_file
from tapeworks.cli.outputs.listings import Form, put_listing, with_form_options
from tapeworks.cli.outputs.printing import say
from tapeworks.errors import ExitCode, UsageError
from tapeworks.plotting.hardest import (
    MOST_IMAGES,
    SHEET,
    RunImage,
    check_order,
    contact_sheet,
    find_images,
)
from tapeworks.plotting.image_curves import list_losses
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.kinds import check_iterations, picture, picture_format
from tapeworks.storage.queries.listing import Listing

EPILOG = """\b
Examples:
  tapeworks images first --by mean --limit 25
  tapeworks images first 17 42 --output both.png
  tapeworks images first 17 --history --format csv
"""


@click.command("images", epilog=EPILOG)
@run_argument
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=Whole(0))
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    help="order by the last known loss or the mean over the iterations  [default: last]",
)
@click.option("--limit", type=Whole(1), help=f"how many at most  [default: {SHEET}]")
@click.option("--iteration", type=Whole(0), help="losses of only this one")
@click.option("--history", "over", is_flag=True, help="of each NUMBER its loss in all iterations")
@click.option(
    "--output", type=PathType(), help="draw them too: a file to write, .png, .svg or .pdf"
)
@with_form_options
def images_command(
    run: str,
    numbers: tuple[int, ...],
    by: str | None,
    limit: int | None,
    iteration: int | None,
    over: bool,
    output: Path | None,
    form: Form,
) -> int:
    """List the images of a run with the highest losses, or those with these numbers.

    Each with its row in the data set as your file has it, its label, what it was taken for last,
    its last known loss and in which iteration that was, and the mean over the iterations that are
    recorded in full. Where a run learns its images by heart, wrong labels are found by the mean.
    """
    if numbers and (by or limit):
        raise UsageError("NUMBER names the images to list; leave out --by and --limit.")
    if over and (not numbers or iteration is not None or output is not None):
        raise UsageError(
            "--history lists the losses of the images that NUMBER names in all iterations; name "
            "some, and leave out --iteration and --output. To draw them: tapeworks plot RUN "
            "--kind images --image NUMBER"
        )
    order = By(by or By.LAST)
    check_order(order, iteration)
    if output is not None:
        picture_format(output)
        check_writable(output)
        _check_size(len(numbers) or limit or SHEET)
    history = open_history()
    found = history.find_run(run)
    check_iterations(found, iteration)
    if over:
        put_listing(list_losses(history, found, numbers), form)
        return ExitCode.DONE
    chosen, most = numbers or None, limit or SHEET
    images = find_images(history, found, chosen, by=order, limit=most, iteration=iteration)
    put_listing(as_listing(images), form)
    if output is not None:
        sheet = contact_sheet(found, images, by=None if numbers else order, iteration=iteration)
        write_file(output, picture(sheet, picture_format(output)))
        say(f"Drawn into {output}")
    return ExitCode.DONE


def _check_size(images: int) -> None:
    if images > MOST_IMAGES:
        raise UsageError(
            f"A picture holds at most {MOST_IMAGES} images. Received: {images}; leave out --output."
        )


def as_listing(images: list[RunImage]) -> Listing:
    """A row for each."""
    names = tuple(RunImage.__dataclass_fields__)
    rows = tuple(tuple(getattr(one, name) for name in names) for one in images)
    return Listing(columns=names, rows=rows)
