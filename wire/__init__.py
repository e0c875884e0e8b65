"""Messages, answers, keys and rights: what passes through Redis, for both ends."""
