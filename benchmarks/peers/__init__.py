"""Per-image gradients by other means, one small file each, to measure the engine against.

Each has `build(problem)`, which returns a function of nothing: from the problem's NumPy arrays to
the gradients as NumPy arrays, (images, *shape) for each parameter. It is called many times; what
it can prepare once, such as compiling, is not measured.
"""
