"""State dicts as bytes and back, for those who join and for checkpoints: data alone, nothing of it is run.

None, bool, int, float, str, list, tuple, dict with keys of these, torch tensors (of any device; they come back on the CPU)
and NumPy arrays. 8 bytes: the length of a JSON text; the text; then the tensors' bytes, each at a multiple of 64.
"""

import ctypes
import json
import sys
from typing import Any, List, Tuple

from ._library import Error

_LEVELS_MAX = 64
_NUMPY_KINDS = "biuf"
_TORCH_TYPES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)


def encode(value: Any) -> bytes:
    """`value` as bytes. Raises muster.Error for what is none of the types above, with its place."""
    parts: List[bytes] = []
    size = 0

    def keep(data: bytes) -> int:
        nonlocal size
        at = size
        parts.append(data + bytes(-len(data) % 64))
        size += len(parts[-1])
        return at

    def plain(item: Any, place: str, level: int) -> Any:
        if level > _LEVELS_MAX:
            raise Error(f"state {place}: is nested more than {_LEVELS_MAX} deep")
        if item is None or isinstance(item, (bool, int, float, str)):
            return item
        if isinstance(item, (list, tuple)):
            inner = [plain(each, f"{place}[{i}]", level + 1) for i, each in enumerate(item)]
            return inner if isinstance(item, list) else {"tuple": inner}
        if isinstance(item, dict):
            return {
                "dict": [
                    [plain(key, place, level + 1), plain(each, f"{place}[{key!r}]", level + 1)]
                    for key, each in item.items()
                ]
            }
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(item, torch.Tensor):
            tensor = item.detach().cpu().contiguous()
            kind = str(tensor.dtype).replace("torch.", "")
            if kind not in _TORCH_TYPES or tensor.is_sparse:
                raise Error(f"state {place}: a tensor of {tensor.dtype} cannot travel; keep it in another type")
            count = tensor.numel() * tensor.element_size()
            data = ctypes.string_at(tensor.data_ptr(), count) if count else b""
            return {"tensor": [kind, list(tensor.shape), keep(data), count]}
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(item, (numpy.ndarray, numpy.generic)):
            array = numpy.asarray(item)
            if array.dtype.kind not in _NUMPY_KINDS:
                raise Error(f"state {place}: an array of {array.dtype} cannot travel; keep it in another type")
            data = numpy.ascontiguousarray(array).tobytes()
            return {"array": [array.dtype.str, list(array.shape), keep(data), len(data)]}
        raise Error(
            f"state {place}: a {type(item).__name__} cannot travel to other ranks; use numbers, texts, lists, dicts, "
            "tensors and arrays"
        )

    text = json.dumps(plain(value, "", 0)).encode()
    head = len(text).to_bytes(8, "little") + text
    return head + bytes(-len(head) % 64) + b"".join(parts)


def decode(data: bytes) -> Any:
    """What `encode` was given. Raises muster.Error where the bytes are none of its."""
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > len(data) - 8:
            raise ValueError("it is cut")
        begin = 8 + length + -(8 + length) % 64
        return _value(json.loads(data[8 : 8 + length]), data, begin, 0)
    except Error:
        raise
    except Exception as error:  # whatever the bytes are
        raise Error(f"the state of a peer or checkpoint cannot be read: {error}; is it of this version?") from None


def _blob(told: Any, data: bytes, begin: int) -> Tuple[str, List[int], bytes]:
    kind, shape, at, count = told
    if at < 0 or count < 0 or begin + at + count > len(data) or any(size < 0 for size in shape):
        raise ValueError("a tensor is cut")
    return kind, shape, data[begin + at : begin + at + count]


def _value(item: Any, data: bytes, begin: int, level: int) -> Any:
    if level > _LEVELS_MAX:
        raise ValueError("it is nested too deep")
    if isinstance(item, list):
        return [_value(each, data, begin, level + 1) for each in item]
    if not isinstance(item, dict):
        return item
    ((kind, told),) = item.items()
    if kind == "tuple":
        return tuple(_value(each, data, begin, level + 1) for each in told)
    if kind == "dict":
        return {
            _value(key, data, begin, level + 1): _value(each, data, begin, level + 1) for key, each in told
        }
    if kind == "tensor":
        import torch

        name, shape, blob = _blob(told, data, begin)
        if name not in _TORCH_TYPES:
            raise ValueError(f"a tensor of {name}")
        dtype = getattr(torch, name)
        if not blob:
            return torch.zeros(shape, dtype=dtype)
        return torch.frombuffer(bytearray(blob), dtype=dtype).reshape(shape)
    if kind == "array":
        import numpy

        name, shape, blob = _blob(told, data, begin)
        dtype = numpy.dtype(name)
        if dtype.kind not in _NUMPY_KINDS:
            raise ValueError(f"an array of {name}")
        return numpy.frombuffer(blob, dtype=dtype).reshape(shape).copy()
    raise ValueError(f"a {kind}")
