"""The networks: the built-in one and users' own, behind one contract."""
