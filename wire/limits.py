"""Limits on what anybody may ask of a scheduler or a worker through Redis.

Each limit is checked before what it bounds is read, or, where Redis cannot tell a length, before it
is used. docs/formats.md lists them.
"""

from __future__ import annotations

from tapeworks.model.networks.spec import HEADER_BYTES

#: Bytes of one entry of the queue, a shard's message with Celery's envelope. Redis gives it whole.
#: Reading one takes up to 25 times as much memory while it lasts, if it is made for that.
LARGEST_ENTRY_BYTES = 8 * 2**20

#: Images in one shard, and chunks that hold them: an entry has room for their numbers.
LARGEST_SHARD_IMAGES = 2**16
MOST_SHARD_CHUNKS = 2**14

#: Bytes of an answer's arrays: the largest value that Redis takes, but for what stands before them.
LARGEST_ANSWER_BYTES = 2**29 - 4 * 2**20

#: Work is cut so that the arrays of an answer are no longer than this, unless one microbatch is: a
#: Redis that bounds what clients send and have not read has room for several at a time.
USUAL_ANSWER_BYTES = 2**26

#: Bytes of an iteration's parameters, or of one chunk of images; as above.
LARGEST_PAYLOAD_BYTES = 2**29

#: Bytes of all chunks that one shard needs, which a worker holds at once.
LARGEST_SHARD_BYTES = 2**32

#: Bytes that one reading round trip may bring, unless a single value is longer.
LARGEST_READING_BYTES = 2**26

#: Attempts whose arrival is heard of at a time.
MOST_ARRIVALS = 1000

#: Room for the names and shapes that stand before the arrays of safetensors, in bytes.
ARRAYS_HEADER_BYTES = HEADER_BYTES

#: Bytes of an answer's signature and header with the longest names and words, but for the digests
#: of what is missing; and of each of those.
HEAD_BYTES, MISSING_BYTES = 64 * 1024, 70
LARGEST_HEADER_BYTES = HEAD_BYTES + MISSING_BYTES * (MOST_SHARD_CHUNKS + 1)

#: Bytes of a worker's record of itself, of an announced network, of where a run stands.
LARGEST_RECORD_BYTES = 16 * 1024
LARGEST_NETWORK_BYTES = 512 * 1024
LARGEST_CURRENT_BYTES = 64

#: Bytes of a user's source text, whose characters have up to four each, with its signature.
LARGEST_SOURCE_BYTES = 2**20 + 2**10

#: Characters of a name: of a run, an attempt, a worker, a digest.
LONGEST_NAME = 400

#: Workers and runs that are looked at; of more, as many are drawn by chance.
MOST_WORKERS = 10_000
MOST_RUNS = 10_000

#: Networks that a worker compiles as it starts; others when they are needed. Half of those that it
#: holds: one that was started again because it held too many must not do so at once again.
MOST_WARM_NETWORKS = 8

#: Seconds that a worker may say to have spent on one shard: eleven days. It is stored in
#: microseconds, and shards are cut by it.
LONGEST_SECONDS = 1_000_000

#: Of anything else that a process says of itself; a float holds every integer up to here.
LARGEST_QUANTITY = 2**53
