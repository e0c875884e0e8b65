"""Signatures: who has the key can make them, nobody else, and none serves for anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.wire.errors import SignatureWrong, SigningKeyUnusable
from tapeworks.wire.signing import UNSIGNED, VARIABLE, Purpose, Signer, signer

KEY, OTHER = Signer(b"k" * 32), Signer(b"o" * 32)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def refused(by: Signer, sealed: str, purpose: Purpose = Purpose.MESSAGE) -> str:
    with pytest.raises(SignatureWrong) as raised:
        by.unseal(purpose, sealed)
    return str(raised.value)


@given(TEXTS)
def test_a_sealed_text_comes_back_as_it_was(text: str) -> None:
    assert KEY.unseal(Purpose.MESSAGE, KEY.seal(Purpose.MESSAGE, text)) == text


@given(TEXTS)
def test_without_a_key_a_text_is_as_it_is(text: str) -> None:
    assert UNSIGNED.seal(Purpose.MESSAGE, text) == text


def test_without_a_key_what_is_unsigned_is_taken_and_what_is_signed_is_not() -> None:
    assert UNSIGNED.unseal(Purpose.MESSAGE, '{"a": 1}') == '{"a": 1}'
    assert "there is no key here" in refused(UNSIGNED, KEY.seal(Purpose.MESSAGE, "{}"))


def test_what_is_unsigned_or_of_another_key_is_refused_with_the_remedy() -> None:
    assert "it is not signed. Scheduler and workers need the same" in refused(KEY, "{}")
    told = refused(KEY, OTHER.seal(Purpose.MESSAGE, "{}"))
    assert "its signature does not fit. Scheduler and workers need the same" in told
    assert VARIABLE in told


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.MESSAGE])
def test_a_signature_for_one_purpose_fits_no_other(purpose: Purpose) -> None:
    assert "does not fit" in refused(KEY, KEY.seal(Purpose.MESSAGE, "{}"), purpose)


def test_parts_are_signed_with_their_borders() -> None:
    one = KEY.signature(Purpose.ANSWER, b"ab", b"c")
    assert one != KEY.signature(Purpose.ANSWER, b"a", b"bc")
    assert one != KEY.signature(Purpose.ANSWER, b"abc")
    assert one != KEY.signature(Purpose.ANSWER, b"abc", b"")


@given(st.text(), st.integers(0, 70), st.text(max_size=3))
def test_no_text_breaks_the_check(text: str, place: int, put: str) -> None:
    sealed = KEY.seal(Purpose.MESSAGE, "{}")
    for spoilt in (text, sealed[:place] + put + sealed[place + 1 :] + " "):
        refused(KEY, spoilt)


def test_a_key_is_never_shown() -> None:
    assert "kkk" not in repr(KEY)
    assert KEY.key_id != OTHER.key_id
    assert UNSIGNED.key_id == ""


def test_a_key_is_read_without_its_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    monkeypatch.setenv(VARIABLE, str(file))
    file.write_bytes(b"k" * 32 + b"\n")
    assert signer() == KEY
    monkeypatch.setenv(VARIABLE, "")
    assert signer() == UNSIGNED


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "expected a file with a key. Received: No such file"),
        (b"", "expected a key of 32 to 4096 bytes. Received: 0"),
        (b"k" * 31 + b"\n", "Received: 31"),
        (b"k" * 5000, "Received: more than 4096"),
    ],
)
def test_a_file_that_is_no_key_is_told_with_the_command_that_makes_one(
    content: bytes | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(file))
    with pytest.raises(SigningKeyUnusable) as raised:
        signer()
    assert told in str(raised.value)
    assert str(raised.value).endswith("Make one with: tapeworks secrets DIRECTORY")
