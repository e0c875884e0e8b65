"""Computation of an iteration, in this process or by workers."""
