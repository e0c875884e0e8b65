"""Real chaos: a seeded nemesis against real processes, and a checker that judges what is left.

The product is used from outside only: its command line, its Redis and its SQL.
"""
