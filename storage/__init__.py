"""Runs, iterations and parameters in SQL. Knows nothing of the other rooms."""
