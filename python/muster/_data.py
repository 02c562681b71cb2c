"""Batches of a dataset by the numbers of its examples."""

import sys
from typing import Any, List, Optional, Tuple


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
