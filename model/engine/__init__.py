"""Gradients of many images at once: TensorFlow, set up so that the same bits come every time."""
