"""Batches of a dataset by the numbers of its examples."""

import array
import hashlib
import sys
from typing import Any, List, Optional, Tuple, Union

_ROWS_HASHED = 256  # of a dataset: reading all of one would take as long as an epoch
_NUMBERS_HASHED = 1024  # of an array or list that is an example, or a part of one
_VALUES_HASHED = 1 << 20


def _is_array(value: Any) -> bool:
    kinds = tuple(
        getattr(sys.modules[module], kind) for module, kind in (("torch", "Tensor"), ("numpy", "ndarray")) if module in sys.modules
    )
    return isinstance(value, kinds)


def _columns(dataset: Any) -> Optional[Tuple[Any, ...]]:
    """Tensors or arrays with an example a row, where the dataset is that and nothing more."""
    torch = sys.modules.get("torch")
    if torch is not None and type(dataset) is torch.utils.data.TensorDataset:
        return dataset.tensors
    if isinstance(dataset, tuple) and dataset and all(_is_array(each) for each in dataset):
        return dataset
    return None


def size_of(dataset: Any) -> int:
    """The number of examples: of a tuple of tensors or arrays, the length of the first."""
    columns = _columns(dataset)
    return len(dataset) if columns is None else len(columns[0])


def fingerprint_of(dataset: Any) -> int:
    """Of tensors and arrays: their types, their shapes, and rows from all over them; so of lists of plain values, and of
    torch's Subset and ConcatDataset of these. Of other datasets 0: not known, as to read one runs code of the user's, which
    may draw random numbers."""
    told = hashlib.sha256()
    try:
        known = bool(size_of(dataset)) and _tell_dataset(told, dataset)
    except (IndexError, OverflowError, RuntimeError, TypeError, ValueError):  # something in it is no plain value
        known = False
    return hash_of(told.digest()) if known else 0


def _tell_dataset(told: Any, dataset: Any) -> bool:
    """Whether it is of a kind that can be told."""
    torch = sys.modules.get("torch")
    columns = (dataset,) if _is_array(dataset) else _columns(dataset)
    if columns is not None:
        rows = _sample(size_of(dataset), _ROWS_HASHED)
        for column in columns:
            _tell_array(told, column[rows], tuple(column.shape), [_VALUES_HASHED])
        return True
    if type(dataset) in (list, tuple):
        told.update(f"examples {len(dataset)} ".encode())
        left = [_VALUES_HASHED]
        for row in _sample(len(dataset), _ROWS_HASHED):
            _tell(told, dataset[row], left)
        return True
    if torch is not None and type(dataset) is torch.utils.data.Subset:
        chosen = dataset.indices.tolist() if _is_array(dataset.indices) else dataset.indices
        told.update(b"subset " + array.array("q", chosen).tobytes())
        return _tell_dataset(told, dataset.dataset)
    if torch is not None and type(dataset) is torch.utils.data.ConcatDataset:
        told.update(f"concatenation {len(dataset.datasets)} ".encode())
        return all(_tell_dataset(told, each) for each in dataset.datasets)
    return False


def _sample(size: int, most: int) -> List[int]:
    """Rows from all over, the first and the last among them."""
    return list(range(size)) if size <= most else [index * (size - 1) // (most - 1) for index in range(most)]


def _tell_array(told: Any, values: Any, shape: Tuple[int, ...], left: List[int]) -> None:
    told.update(f"{values.dtype} {shape} ".encode())
    if str(values.dtype) == "object":  # whose words may hold addresses
        _tell(told, values.tolist(), left)
    else:
        told.update(_bytes_of(values))


def _tell(told: Any, value: Any, left: List[int]) -> None:
    """left[0]: how many values more are read. Raises TypeError for what is no plain value, ValueError for too many."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("too many values")
    kind = type(value)
    if _is_array(value):
        flat = value.reshape(-1)
        _tell_array(told, flat[_sample(len(flat), _NUMBERS_HASHED)], tuple(value.shape), left)
    elif value is None or kind in (bool, int, float):
        told.update(f"{value!r} ".encode())
    elif kind in (str, bytes):
        data = value.encode(errors="surrogatepass") if kind is str else value
        told.update(f"{kind.__name__} {len(data)} ".encode() + data)
    elif kind in (list, tuple):
        told.update(f"{kind.__name__} {len(value)} ".encode())
        for row in _sample(len(value), _NUMBERS_HASHED):
            _tell(told, value[row], left)
    elif kind is dict:
        told.update(f"dict {len(value)} ".encode())
        for key in sorted(value):
            _tell(told, key, left)
            _tell(told, value[key], left)
    elif kind.__module__ == "numpy" and hasattr(value, "tobytes"):  # one number
        told.update(f"{value.dtype} ".encode() + value.tobytes())
    else:
        raise TypeError(kind.__name__)


def hash_of(fingerprint: Union[int, str, bytes]) -> int:
    """What the library takes: 64 bits; 0 only of what is empty or 0."""
    if not fingerprint:
        return 0
    told = fingerprint if isinstance(fingerprint, bytes) else str(fingerprint).encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "little") or 1


def _bytes_of(values: Any) -> bytes:
    if hasattr(values, "detach"):  # of torch, whose types numpy may lack
        torch = sys.modules["torch"]
        values = values.detach().cpu().contiguous().reshape(-1)
        return bytes() if values.numel() == 0 else values.view(torch.uint8).numpy().tobytes()
    return values.tobytes()


def take(dataset: Any, rows: List[int]) -> Any:
    """The examples `rows` as one batch: tensors and arrays are indexed at once, other datasets example by example."""
    columns = _columns(dataset)
    if columns is not None:
        return tuple(each[rows] for each in columns)
    if _is_array(dataset):
        return dataset[rows]
    if hasattr(dataset, "__getitems__"):
        return collate(dataset.__getitems__(rows))
    return collate([dataset[row] for row in rows])


def collate(examples: List[Any]) -> Any:
    """As torch's DataLoader would, where torch is at hand; else a list for each part of an example."""
    if "torch" in sys.modules:
        from torch.utils.data import default_collate

        return default_collate(examples)
    if isinstance(examples[0], tuple):
        return tuple(list(part) for part in zip(*examples))
    return examples
