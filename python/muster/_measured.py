"""What a program measured itself, as it may be told: what could not be counted is refused, by its value."""

from typing import Any

from ._library import Error

_LOSS_MAX = 1e100  # beyond it no mean of many is made
_ROUNDING = 1e-6  # that a mean of float32 may lie above 1


def number_of(value: Any, what: str) -> float:
    """Of a number, or a tensor of one element. Raises muster.Error."""
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise Error(f"{what} must be one number, not {value!r:.80}") from None


def loss_of(value: Any, what: str) -> float:
    number = number_of(value, what)
    if not abs(number) <= _LOSS_MAX:
        raise Error(f"{what} is {number}, of which no mean can be made; lower the learning rate, or tell None where there is none")
    return number


def accuracy_of(value: Any, what: str) -> float:
    number = number_of(value, what)
    if 1 < number <= 1 + _ROUNDING:
        return 1.0
    if not 0 <= number <= 1:
        remedy = "divide by 100" if 1 < number <= 100 else "tell what part of the examples was right, or None where there is none"
        raise Error(f"{what} is {number}; accuracy is a share, 0 to 1: {remedy}")
    return number
