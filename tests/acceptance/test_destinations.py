"""An output is written as what is there asks: through links, into pipes and devices, in place."""

from __future__ import annotations

import errno
import os
import pty
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tapeworks.cli.outputs.delivery import deliver_file
from tapeworks.cli.outputs.files import check_writable, write_file
from tests.support.calls import Call
from tests.support.desk import DONE
from tests.support.processes import ROOT

#: A user whom nobody knows.
NOBODY = 54_321

#: A file system of its own on Linux.
MEMORY = "/dev/shm"  # noqa: S108

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")


@pytest.fixture
def exported(desk: Path, call: Call) -> Callable[[str], str]:
    """Exports the run as CSV; what should be in the output."""
    expected = call(f"export {DONE}").out

    def export(output: str) -> str:
        called = call(f"export {DONE} --output {output}")
        assert called.code == 0, called.err
        return expected

    return export


@contextmanager
def reading(path: Path, size: int = -1) -> Iterator[list[bytes]]:
    """Reads so much from a pipe at the same time."""
    content: list[bytes] = []

    def read() -> None:
        with path.open("rb", buffering=0) as pipe:
            content.append(pipe.readall() if size < 0 else pipe.read(size))

    reader = threading.Thread(target=read)
    reader.start()
    yield content
    reader.join()


def test_a_pipe_is_written_and_stays_one(desk: Path, exported: Callable[[str], str]) -> None:
    os.mkfifo(desk / "pipe.csv")
    with reading(desk / "pipe.csv") as content:
        expected = exported("pipe.csv")
    assert b"".join(content).decode() == expected
    assert stat.S_ISFIFO((desk / "pipe.csv").stat().st_mode)


def test_a_pipe_without_a_reader_is_waited_for_and_told(desk: Path) -> None:
    os.mkfifo(desk / "pipe.csv")
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tapeworks", "export", DONE, "--output", "pipe.csv"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as exporting:
        assert exporting.stderr is not None
        assert exporting.stderr.readline() == f"Waiting for a reader of {desk / 'pipe.csv'}\n"
        assert (desk / "pipe.csv").read_text().startswith("run,run_name,iteration,")
    assert exporting.returncode == 0


def test_a_pipe_whose_reader_ends_is_told(desk: Path, call: Call) -> None:
    os.mkfifo(desk / "pipe")
    with reading(desk / "pipe", size=1):
        called = call("db backup pipe")
    assert called.code == 1
    assert called.last_words == f"tapeworks: pipe cannot be written: {os.strerror(errno.EPIPE)}."


def test_a_device_is_written_and_stays_one(desk: Path, exported: Callable[[str], str]) -> None:
    terminal, side = pty.openpty()
    expected = exported(os.ttyname(side))
    os.close(side)
    shown = b""
    while len(shown.replace(b"\r\n", b"\n")) < len(expected):
        shown += os.read(terminal, 4096)
    os.close(terminal)
    assert shown.decode().replace("\r\n", "\n") == expected
    exported("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "link"])
def test_data_for_standard_output_goes_there_and_words_do_not(
    output: str, desk: Path, call: Call
) -> None:
    (desk / "link").symlink_to("/dev/stdout")
    called = call(f"export {DONE} --output {output}")
    assert called.code == 0
    assert called.out == call(f"export {DONE}").out
    assert called.err == f"Written to {output}\n"


def test_a_picture_for_a_pipe_without_an_ending_is_a_png(desk: Path, call: Call) -> None:
    os.mkfifo(desk / "pipe")
    with reading(desk / "pipe") as content:
        assert call(f"plot {DONE} --output pipe").code == 0
    assert content[0].startswith(b"\x89PNG")


def test_a_descriptor_of_the_caller_is_written(desk: Path, exported: Callable[[str], str]) -> None:
    with (desk / "log").open("wb") as log:
        log.write(b"before\n")
        log.flush()
        expected = exported(f"/dev/fd/{log.fileno()}")
        log.write(b"after\n")
    assert (desk / "log").read_text() == f"before\n{expected}after\n"


def test_a_descriptor_that_is_the_database_is_refused(desk: Path, call: Call) -> None:
    with (desk / "runs.db").open("r+b") as database:
        called = call(f"export {DONE} --output /dev/fd/{database.fileno()}")
    assert called.code == 2
    assert "file of the database" in called.last_words


@pytest.mark.parametrize("target", ["target.csv", "empty/target.csv"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_kept_and_its_target_written(
    target: str, *, is_there: bool, desk: Path, exported: Callable[[str], str]
) -> None:
    (desk / "link.csv").symlink_to(target)
    if is_there:
        (desk / target).write_text("old and much longer" * 1000)
    expected = exported("link.csv")
    assert (desk / "link.csv").is_symlink()
    assert (desk / target).read_text() == expected


def test_links_in_a_loop_and_sockets_are_refused(desk: Path, call: Call) -> None:
    (desk / "loop").symlink_to("back")
    (desk / "back").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        for output, words in {"loop": os.strerror(errno.ELOOP), "socket": "a socket"}.items():
            called = call(f"export {DONE} --to csv --output {output}")
            assert (called.code, len(called.err.splitlines())) == (2, 1)
            assert words in called.err


def test_mode_and_attributes_of_a_file_are_kept(desk: Path, exported: Callable[[str], str]) -> None:
    file = desk / "old.csv"
    file.write_text("old")
    file.chmod(0o604)
    try:
        os.setxattr(file, "user.note", b"mine")
    except (AttributeError, OSError):
        pytest.skip("files here have no attributes of users")
    assert exported("old.csv") == file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o604
    assert os.getxattr(file, "user.note") == b"mine"


def test_a_new_file_has_the_mode_that_the_user_wants(
    desk: Path, exported: Callable[[str], str]
) -> None:
    before = os.umask(0o026)
    try:
        exported("new.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((desk / "new.csv").stat().st_mode) == 0o640


def test_a_new_file_on_another_file_system_is_no_more_open(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip(f"{MEMORY} is no other file system")
        (tmp_path / "complete").write_text("new")
        (tmp_path / "complete").chmod(0o600)
        deliver_file(tmp_path / "complete", Path(other) / "new")
        assert (Path(other) / "new").read_text() == "new"
        assert stat.S_IMODE((Path(other) / "new").stat().st_mode) == 0o600


def test_all_names_of_a_file_show_what_was_written(
    desk: Path, exported: Callable[[str], str]
) -> None:
    (desk / "one.csv").write_text("old and much longer" * 1000)
    (desk / "other.csv").hardlink_to(desk / "one.csv")
    assert exported("one.csv") == (desk / "other.csv").read_text()


@as_root
def test_the_owner_of_a_file_is_kept(desk: Path, exported: Callable[[str], str]) -> None:
    (desk / "old.csv").write_text("old")
    os.chown(desk / "old.csv", NOBODY, NOBODY)
    exported("old.csv")
    found = (desk / "old.csv").stat()
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Have the rights of a user whom nobody knows."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that other users reach."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TAPEWORKS_DATABASE_URL", f"{directory}/runs.db")
        yield Path(directory)


@as_root
@pytest.mark.parametrize(("mode", "owner"), [(0o755, NOBODY), (0o1777, 0), (0o777, 0)])
def test_a_file_is_written_in_place_where_it_cannot_be_replaced_by_its_like(
    mode: int, owner: int, shared: Path
) -> None:
    # Given a directory that may not be written, one that is sticky, a file of another user.
    shared.chmod(mode)
    file = shared / "file"
    file.write_text("old and longer")
    file.chmod(0o666)
    os.chown(file, owner, owner)
    before = file.stat()

    with somebody_else():
        check_writable(file)
        write_file(file, b"new")

    assert file.read_text() == "new"
    after = file.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
    )
    assert list(file.parent.iterdir()) == [file]


def mounting(script: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's script, in which $0 is Python, with mounts that nobody else sees."""
    ended = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", script, sys.executable, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 77 or "unshare failed" in ended.stderr:
        pytest.skip(f"nothing can be mounted here: {ended.stderr}")
    return ended


#: Writes a file and a directory, a second time over the first one.
MOUNTED = """
from pathlib import Path
from tapeworks.cli.outputs.files import (
    check_directory_writable, check_writable, write_file, write_whole,
)
check_writable(Path("inside.csv"))
write_file(Path("inside.csv"), b"new")
for entry in ("old", "mark"):
    check_directory_writable(Path("inside"), "old")
    with write_whole(Path("inside")) as complete:
        complete.mkdir()
        (complete / entry).touch()
"""

MOUNT = """
mount --bind outside.csv inside.csv && mount --bind outside inside || exit 77
exec "$0" -P -c "$1"
"""


#: Writes over a file in place, and copies a database, where there is room for neither.
FULL = """
mount --types tmpfs --options size=8k none empty || exit 77
echo old > empty/old.csv && touch mounted.csv && mount --bind empty/old.csv mounted.csv || exit 77
for output in mounted.csv empty/old.csv; do
    "$0" -P -m tapeworks db backup $output || cat $output
done
"""


def test_a_disk_without_room_is_told_and_what_was_there_is_kept(desk: Path) -> None:
    ended = mounting(FULL, desk)
    full = f"cannot be written: {os.strerror(errno.ENOSPC)}.\n"
    assert ended.stderr == f"tapeworks: mounted.csv {full}tapeworks: empty/old.csv {full}"
    assert ended.stdout == "old\nold\n"


def test_what_is_mounted_is_written_in_place(desk: Path) -> None:
    for name in ("outside", "inside"):
        (desk / name).mkdir()
        (desk / f"{name}.csv").touch()
    ended = mounting(MOUNT, desk, MOUNTED)
    assert ended.returncode == 0, ended.stderr
    assert (desk / "outside.csv").read_text() == "new"
    assert [path.name for path in (desk / "outside").iterdir()] == ["mark"]
    assert not any((desk / "inside").iterdir())
    assert not list(desk.rglob(".tapeworks-*"))
