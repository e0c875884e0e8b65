"""Measurements of Tapeworks beside others; `make help` lists them.

A package, so that it comes before those of the same name that others install, as Opacus does.
"""
