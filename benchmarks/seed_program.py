"""The seed document's own program, with its own names, timed part by part.

Runs in a process of its own and imports nothing of ours, so that TensorFlow is set up as the seed
finds it: `python -m benchmarks.seed_program IMAGES.npz PREPARED ITERATIONS` prints JSON.

Departures from the document: images and classes come from a file instead of MNIST, the program is
cut into functions, and it may stop early. With fewer prepared images than the fit goes through,
it goes through them again and again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

#: The learning rate, and the classes.
LR, N_CLASS = 1e-3, 2


def prep_inp(inp_img: Any) -> Any:
    """One image, unfolded ahead for all three layers: 27 x 27 becomes eight axes."""
    rows, columns = inp_img.get_shape()
    img_proc = np.array(
        [[inp_img[j : (j + 3), k : (k + 3)] for k in range(columns - 2)] for j in range(rows - 2)]
    )
    img_proc_1 = np.array(
        [
            [img_proc[j : (j + 5), k : (k + 5)] for k in range(columns - 2 - 4)]
            for j in range(rows - 2 - 4)
        ]
    )
    img_proc_2 = [
        [img_proc_1[j : (j + 7), k : (k + 7)] for k in range(columns - 2 - 4 - 6)]
        for j in range(rows - 2 - 4 - 6)
    ]
    return tf.convert_to_tensor(img_proc_2)


def glorot(shape: list[int], size: int) -> Any:
    """A variable from the uniform distribution with the bounds ±√(6/size)."""
    limit = np.sqrt(6 / size)
    return tf.Variable(tf.random.uniform(shape, minval=-limit, maxval=limit))


def set_up(side: int) -> list[Any]:
    """The parameters: three convolutional arrays and the dense one."""
    return [
        glorot([5, 3, 3], 5 * 3 * 3 + 1),
        glorot([5, 5, 5], 5 * 5 * 5 + 1),
        glorot([5, 7, 7], 5 * 7 * 7 + 1),
        glorot([N_CLASS, 5, side, side], N_CLASS * 5 * side**2 + N_CLASS),
    ]


def step_function(conv_1: Any, conv_2: Any, conv_3: Any, dense_1: Any) -> Callable[[Any, Any], Any]:
    """One image's gradients and loss, as one traced function over these parameters."""

    @tf.function  # type: ignore[untyped-decorator]
    def one_step(img_proc: Any, class_truth: Any) -> Any:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch([conv_1, conv_2, conv_3, dense_1])
            int_rep_1 = tf.tensordot(conv_1, img_proc, axes=[[1, 2], [6, 7]])
            int_rep_1 = tf.maximum(int_rep_1, tf.constant(0.0))
            int_rep_2 = tf.tensordot(
                tf.repeat(tf.expand_dims(conv_2, 1), 5, axis=1),
                int_rep_1,
                axes=[[1, 2, 3], [0, 5, 6]],
            )
            int_rep_2 = tf.maximum(int_rep_2, tf.constant(0.0))
            int_rep_3 = tf.tensordot(
                tf.repeat(tf.expand_dims(conv_3, 1), 5, axis=1),
                int_rep_2,
                axes=[[1, 2, 3], [0, 3, 4]],
            )
            int_rep_3 = tf.maximum(int_rep_3, tf.constant(0.0))
            pred_pre = tf.math.reduce_sum(
                dense_1[:, :, :, :] * tf.expand_dims(int_rep_3[:, :, :], 0), axis=[1, 2, 3]
            )
            pred = tf.exp(pred_pre) / tf.math.reduce_sum(tf.exp(pred_pre))
            loss = tf.math.reduce_sum(
                -(
                    class_truth * tf.math.log(pred)
                    + (tf.constant(1.0) - class_truth) * tf.math.log(tf.constant(1.0) - pred)
                )
            )
        grad_c1 = tape.gradient(loss, conv_1)
        grad_c2 = tape.gradient(loss, conv_2)
        grad_c3 = tape.gradient(loss, conv_3)
        grad_d1 = tape.gradient(loss, dense_1)
        return [grad_c1, grad_c2, grad_c3, grad_d1, loss]

    return one_step  # type: ignore[no-any-return]


def fit(
    parameters: list[Any], inp_imgs: list[Any], class_arr: list[Any], n_iter: int
) -> Iterator[float]:
    """The seed's loop, without its plot: the loss of each iteration."""
    lr, n_imgs, one_step = tf.constant(LR), len(class_arr), step_function(*parameters)
    grads_arr = [tf.Variable(tf.zeros([n_imgs, *variable.shape])) for variable in parameters]
    for _ in range(n_iter):
        loss = tf.constant(0.0)
        for i in range(n_imgs):
            grads = one_step(inp_imgs[i % len(inp_imgs)], class_arr[i % len(inp_imgs)])
            for arr, grad in zip(grads_arr, grads, strict=False):
                arr[i].assign(grad)
            loss += grads[4]
        for variable, arr in zip(parameters, grads_arr, strict=True):
            variable.assign(variable - lr * tf.math.reduce_mean(arr, axis=0))
        yield float(loss)


def load(path: Path) -> tuple[list[Any], list[Any]]:
    """Images as float32 tensors in [0, 1], and one-hot classes, as the seed prepares MNIST's."""
    with np.load(path) as stored:
        images, labels = stored["images"], stored["labels"]
    img_list = [tf.convert_to_tensor((image / 255).astype("float32")) for image in images]
    return img_list, [tf.one_hot(int(label), N_CLASS) for label in labels]


def timed(values: Iterator[Any]) -> tuple[list[Any], list[float]]:
    """All values, and the seconds that each one took."""
    found, seconds, began = [], [], time.perf_counter()
    for value in values:
        found.append(value)
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    return found, seconds


def main(path: str, prepared: str, iterations: str) -> None:
    """Prepare so many images, fit for so many iterations over as many as the file holds."""
    img_list, class_arr = load(Path(path))
    inp_imgs, prepare_seconds = timed(prep_inp(image) for image in img_list[: int(prepared)])
    parameters = set_up(int(img_list[0].shape[0]) - 2 - 4 - 6)
    losses, iteration_seconds = timed(fit(parameters, inp_imgs, class_arr, int(iterations)))
    result = {
        "prepare_seconds": prepare_seconds,
        "iteration_seconds": iteration_seconds,
        "losses": losses,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
