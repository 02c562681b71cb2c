"""Batches of a dataset by the numbers of its examples."""

import sys
from typing import Any, List


def size_of(dataset: Any) -> int:
    """The number of examples: of a tuple of tensors or arrays, the length of the first."""
    if isinstance(dataset, (tuple, list)) and dataset and hasattr(dataset[0], "shape"):
        return len(dataset[0])
    return len(dataset)


def take(dataset: Any, rows: List[int]) -> Any:
    """The examples `rows` as one batch: tensors and arrays are indexed at once, other datasets example by example."""
    tensors = getattr(dataset, "tensors", dataset)  # of a torch TensorDataset
    if isinstance(tensors, (tuple, list)) and tensors and hasattr(tensors[0], "shape"):
        return tuple(each[rows] for each in tensors)
    if hasattr(tensors, "shape"):
        return tensors[rows]
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
