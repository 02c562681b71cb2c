"""Batches of a dataset by the numbers of its examples."""

import hashlib
import sys
from typing import Any, List, Optional, Tuple, Union

_ROWS_HASHED = 256  # of a dataset: reading all of one would take as long as an epoch


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
    """Of tensors and arrays: their types, their shapes, and rows from all over them. Of other datasets 0: not known."""
    columns = (dataset,) if _is_array(dataset) else _columns(dataset)
    if columns is None or not size_of(dataset):
        return 0
    size = size_of(dataset)
    rows = sorted({index * (size - 1) // (_ROWS_HASHED - 1) for index in range(_ROWS_HASHED)})
    told = hashlib.sha256()
    for column in columns:
        told.update(f"{column.dtype} {tuple(column.shape)} ".encode())
        told.update(_bytes_of(column[rows]))
    return hash_of(told.digest())


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
    return values.tobytes() if values.dtype.kind != "O" else repr(values.tolist()).encode()


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
