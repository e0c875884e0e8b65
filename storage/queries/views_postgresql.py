"""PostgreSQL's words for the pieces of the views that differ between databases."""

from __future__ import annotations

#: By what they give; the kinds of settings among them.
WORDS = {
    "seconds_between": "extract(epoch FROM {until} - {since})::float8",
    "hex": "encode({bytes}, 'hex')",
    "text": "r.configuration ->> '{name}'",
    "integer": "(r.configuration ->> '{name}')::bigint",
    "number": "(r.configuration ->> '{name}')::float8",
    "boolean": "(r.configuration ->> '{name}')::boolean",
    "list": "translate(r.configuration ->> '{name}', '[] ', '')",
    "tags": "(SELECT coalesce(json_object_agg(t.key, t.value ORDER BY t.key), '{}')"
    " FROM stored_tags AS t WHERE t.run_id = r.id)",
}

LEDGER = """SELECT r.id AS run_id, i.iteration, (e ->> 0)::int AS first_image,
  (e ->> 1)::int AS image_count, (e ->> 2)::int AS shard, (e ->> 3)::int AS attempt,
  (e ->> 4)::int AS term, w.name AS worker, (e ->> 6)::float8 / 1000000 AS seconds,
  i.started_at + (e ->> 7)::bigint * interval '1 microsecond' AS received_at, r.network_digest
FROM stored_iterations AS i JOIN stored_runs AS r ON r.number = i.run
CROSS JOIN LATERAL json_array_elements(i.ledger) AS e
JOIN stored_workers AS w ON w.run = i.run AND w.number = (e ->> 5)::int"""

#: The bits of one prediction, as `tapeworks.storage.iterations` writes them.
_PREDICTED = (
    "((get_byte(i.predictions, (1 + (v.place - 1) * get_byte(i.predictions, 0) / 8)::int)\n"
    "    >> ((v.place - 1) * get_byte(i.predictions, 0) % 8)::int)\n"
    "    & ((1 << get_byte(i.predictions, 0)) - 1))"
)


def _int32(content: str, place: str) -> str:
    """The little-endian whole number at a place, from 0; not negative."""
    return " | ".join(
        f"(get_byte({content}, (4 * ({place}) + {byte})::int) << {8 * byte})" for byte in range(4)
    )


_NUMBER = _int32("i.image_numbers", "v.place - 1")

_IMAGE = f"(CASE WHEN i.image_numbers = '' THEN v.place - 1 ELSE {_NUMBER} END)"

_ROW = f"CASE WHEN r.image_rows IS NULL THEN {_IMAGE} ELSE {_int32('r.image_rows', _IMAGE)} END"

IMAGES = f"""SELECT r.id AS run_id, i.iteration, v.place - 1 AS place, {_IMAGE} AS image,
  {_ROW} AS "row",
  (r.configuration -> 'classes' ->> get_byte(r.labels, {_IMAGE}::int))::int AS label,
  CASE WHEN i.predictions <> '\\x00' THEN
    (r.configuration -> 'classes' ->> {_PREDICTED})::int
  END AS predicted,
  v.loss::float8 AS loss, v.gradient_norm::float8 AS gradient_norm
FROM stored_iterations AS i JOIN stored_runs AS r ON r.number = i.run
CROSS JOIN LATERAL
  unnest(i.image_values[:i.images], i.image_values[i.images + 1:2 * i.images])
  WITH ORDINALITY AS v(loss, gradient_norm, place)"""

OPTIONS = """SELECT r.id AS run_id, o.key AS name, o.value
FROM stored_runs AS r
CROSS JOIN LATERAL json_each_text(CASE
    WHEN json_typeof(r.configuration -> 'options') = 'object' THEN r.configuration -> 'options'
  END) AS o"""
