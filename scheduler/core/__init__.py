"""Decisions about shards, attempts and workers. Pure: no clock, no Redis, no SQL."""
