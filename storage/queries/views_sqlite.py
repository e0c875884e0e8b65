"""SQLite's pieces of the views, which differ between databases.

SQLite has no arrays and reads no bytes as numbers: they are told from hexadecimal digits.
"""

from __future__ import annotations

#: By what they give; the kinds of settings among them.
WORDS = {
    "seconds_between": "strftime('%s', {until}) - strftime('%s', {since})"
    " + CAST(substr({until}, 20) AS REAL) - CAST(substr({since}, 20) AS REAL)",
    "moment": "strftime('%Y-%m-%d %H:%M:%S', {microseconds} / 1000000, 'unixepoch')"
    " || printf('.%06d', {microseconds} % 1000000)",
    "hex": "lower(hex({bytes}))",
    "text": "json_extract(r.configuration, '$.{name}')",
    "integer": "json_extract(r.configuration, '$.{name}')",
    "number": "json_extract(r.configuration, '$.{name}')",
    "boolean": "json_extract(r.configuration, '$.{name}')",
    "list": "replace(trim(json_extract(r.configuration, '$.{name}'), '[]'), ' ', '')",
    "tags": "(SELECT json_group_object(t.key, t.value)"
    " FROM stored_tags AS t WHERE t.run_id = r.id)",
}


def _moment(microseconds: str) -> str:
    return WORDS["moment"].format(microseconds=microseconds)


def _digit(hexadecimal: str, place: int) -> str:
    return f"instr('123456789ABCDEF', substr({hexadecimal}, {place}, 1))"


def _byte(content: str, place: str) -> str:
    """The byte at a place, from 0; 0 outside."""
    digits = f"hex(substr({content}, {place} + 1, 1))"
    return f"({_digit(digits, 1)} << 4 | {_digit(digits, 2)})"


def _int32(content: str, place: str) -> str:
    """The little-endian whole number at a place; not negative. SQLite's << and | rank alike."""
    digits = [
        f"({_digit('h', at)} << {shift})"
        for at, shift in zip(_ORDER, range(28, -1, -4), strict=True)
    ]
    bits = " | ".join(digits)
    digits_of = f"hex(substr({content}, 4 * {place} + 1, 4))"
    return f"(SELECT {bits} FROM (SELECT {digits_of} AS h))"


#: Where the hexadecimal digits of a little-endian number stand, the most significant first.
_ORDER = (7, 8, 5, 6, 3, 4, 1, 2)


def _float32(content: str, place: str) -> str:
    """The float32 at a place, exactly, if not negative: mantissa × 2 ^ (exponent − 150)."""
    return f"""(SELECT CASE WHEN s >= 0
      THEN m * 1.0 * (1 << min(s, 60)) * (1 << max(s - 60, 0))
      ELSE m * 1.0 / (1 << min(-s, 60)) / (1 << min(max(-s - 60, 0), 60)) / (1 << max(-s - 120, 0))
    END FROM (SELECT max(b >> 23, 1) - 150 AS s, (b & 8388607) + (b >= 8388608) * 8388608 AS m
      FROM (SELECT {_int32(content, place)} AS b)))"""


#: A table with a row for each place of an image set; its `key` is the place.
_PLACES = "json_each('[' || substr(replace(hex(zeroblob(i.images)), '00', ',0'), 2) || ']')"

_IMAGE = f"CASE WHEN i.image_numbers = x'' THEN p.key ELSE {_int32('i.image_numbers', 'p.key')} END"

_ROW = (
    f"CASE WHEN r.image_rows IS NULL THEN {_IMAGE} ELSE {_int32('r.image_rows', f'({_IMAGE})')} END"
)

_WIDTH = "CAST(substr(hex(substr(i.predictions, 1, 1)), 2) AS INTEGER)"

#: The bits of one prediction, as `tapeworks.storage.iterations` writes them.
_PREDICTED = (
    f"({_byte('i.predictions', f'(1 + p.key * {_WIDTH} / 8)')} >> (p.key * {_WIDTH} % 8)"
    f" & ((1 << {_WIDTH}) - 1))"
)

LEDGER = f"""SELECT r.id AS run_id, i.iteration,
  json_extract(e.value, '$[0]') AS first_image, json_extract(e.value, '$[1]') AS image_count,
  json_extract(e.value, '$[2]') AS shard, json_extract(e.value, '$[3]') AS attempt,
  json_extract(e.value, '$[4]') AS term, w.name AS worker,
  json_extract(e.value, '$[6]') / 1000000.0 AS seconds,
  {_moment("(i.started_at + json_extract(e.value, '$[7]'))")} AS received_at, r.network_digest
FROM stored_iterations AS i JOIN stored_runs AS r ON r.number = i.run
JOIN json_each(i.ledger) AS e
JOIN stored_workers AS w ON w.run = i.run AND w.number = json_extract(e.value, '$[5]')"""

IMAGES = f"""SELECT r.id AS run_id, i.iteration, p.key AS place, {_IMAGE} AS image,
  {_ROW} AS "row",
  CASE WHEN r.labels IS NOT NULL THEN
    json_extract(r.configuration, '$.classes[' || {_byte("r.labels", f"({_IMAGE})")} || ']')
  END AS label,
  CASE WHEN i.predictions <> x'00' THEN
    json_extract(r.configuration, '$.classes[' || {_PREDICTED} || ']')
  END AS predicted,
  {_float32("i.image_values", "p.key")} AS loss,
  CASE WHEN length(i.image_values) > 4 * i.images THEN
    {_float32("i.image_values", "(i.images + p.key)")}
  END AS gradient_norm
FROM stored_iterations AS i JOIN stored_runs AS r ON r.number = i.run
JOIN {_PLACES} AS p
WHERE length(i.predictions) > 0"""

#: A number keeps the digits that it was stored with: `json_extract` of two paths gives a JSON list.
_NUMBER = "json_extract(r.configuration, o.fullkey, '$.no.such')"

OPTIONS = f"""SELECT r.id AS run_id, o.key AS name, CASE
    WHEN o.type IN ('integer', 'real') THEN substr({_NUMBER}, 2, length({_NUMBER}) - 7)
    WHEN o.type IN ('true', 'false') THEN o.type
    ELSE o.value
  END AS value
FROM stored_runs AS r JOIN json_each(r.configuration, '$.options') AS o
WHERE o.key IS NOT NULL"""
