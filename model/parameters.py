"""The trained arrays: initial values, the assign update, bytes and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from tapeworks.model.environment import expand_home
from tapeworks.model.errors import ParametersError
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import Network

#: Arrays by name.
Arrays = dict[str, NDArray[Any]]


#: The largest file that is read as given parameters, in bytes.
LARGEST_FILE_BYTES = 2**30


def initial(network: BuiltinNetwork, seed: int) -> Arrays:
    """Glorot-uniform float32 parameters with the seed document's bounds.

    The same seed gives the same bits with every NumPy: the raw output of PCG64 is part of NumPy's
    compatibility promise, its own uniform distribution is not.
    """
    source = np.random.PCG64(seed)
    return {
        name: _uniform(source, shape, bound(network, name))
        for name, shape in network.shapes.items()
    }


def bound(network: BuiltinNetwork, name: str) -> float:
    """Largest initial value: √(6/(filters·k·k+1)), or √(6/(classes·filters·side²+classes))."""
    size = int(np.prod(network.shapes[name]))
    outputs = network.class_count if name == "dense_1" else 1
    return float(np.sqrt(6 / (size + outputs)))


def _uniform(source: np.random.PCG64, shape: tuple[int, ...], limit: float) -> NDArray[np.float32]:
    raw = source.random_raw(int(np.prod(shape)))
    unit = (raw >> np.uint64(40)).astype(np.float64) * 2.0**-24  # 24 bits: exact in float32
    return ((2 * unit - 1) * limit).astype(np.float32).reshape(shape)


def assign(parameters: Arrays, mean_gradient: Arrays, learning_rate: float) -> Arrays:
    """parameters − learning_rate × mean gradient, in float32, as new arrays."""
    rate = np.float32(learning_rate)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for finiteness
        return {name: value - rate * mean_gradient[name] for name, value in parameters.items()}


def all_finite(arrays: Arrays) -> bool:
    """Check that no array holds a NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays.values())


def to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as safetensors bytes; equal arrays give equal bytes."""
    payload: bytes = safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    )
    return payload


def from_bytes(payload: bytes) -> Arrays:
    """The arrays in safetensors bytes. Raises `ParametersError` if they are not that."""
    try:
        arrays: Arrays = safetensors.numpy.load(payload)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ParametersError(f"Expected safetensors bytes. Received: {error}.") from error
    return arrays


def digest(payload: bytes) -> str:
    """SHA-256 of the bytes, in hexadecimal."""
    return hashlib.sha256(payload).hexdigest()


def history_digest(losses: list[float]) -> str:
    """Digest of a loss history: float64 losses, iteration by iteration, as safetensors."""
    return digest(to_bytes({"losses": np.array(losses, np.float64)}))


def read_file(path: Path, network: Network) -> Arrays:
    """Return given initial parameters, checked against the network. Raises `ParametersError`."""
    try:
        path = Path(expand_home(str(path)))
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ParametersError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes.")
        payload = path.read_bytes()
    except OSError as error:
        raise ParametersError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ParametersError(f"{path} cannot be read: {error}.") from error
    try:
        arrays = from_bytes(payload)
    except ParametersError as error:
        raise ParametersError(f"{path} is not a safetensors file: {error.__cause__}.") from error
    return validate_parameters(arrays, network, str(path))


def validate_parameters(arrays: Arrays, network: Network, source: str) -> Arrays:
    """The arrays, if they are what the network trains. Raises `ParametersError`."""
    expected = network.shapes
    if set(arrays) != set(expected):
        raise ParametersError(
            f"{source}: expected the arrays {', '.join(expected)}. "
            f"Received: {', '.join(sorted(arrays)) or 'none'}."
        )
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ParametersError(
                f"{source}: expected {name} to be float32 of shape {shape}. "
                f"Received: {array.dtype} of shape {array.shape}."
            )
        if not np.isfinite(array).all():
            raise ParametersError(f"{source}: {name} holds a NaN or an infinity.")
    return {name: arrays[name] for name in expected}
