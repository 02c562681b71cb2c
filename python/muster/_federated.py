"""Federated learning by one function, in this process: clients that train on their own data, and the mean of what they learnt."""

import copy
import dataclasses
import inspect
import math
import random
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from ._library import Error
from ._optimizer import Arrays


@dataclasses.dataclass(frozen=True)
class Round:
    """What a client is told beside model and data."""

    number: int  # counted from 1
    rounds: int
    client: int  # counted from 0
    seed: int  # of this client's shuffles in this round
    config: Mapping[str, Any]  # as simulate was given


@dataclasses.dataclass(frozen=True)
class Update:
    """What a client has learnt: its whole model (as simulate gave it, trained), and on how many examples.

    examples: >= 1, the weight of the update. loss: mean over them, for the history.
    """

    model: Any
    examples: int
    loss: Optional[float] = None


@dataclasses.dataclass(frozen=True)
class RoundResult:
    number: int
    clients: List[int]
    loss: Optional[float]  # mean of what the clients told, weighted by examples; None: nobody did
    metric: Optional[float]  # of `evaluate`


@dataclasses.dataclass(frozen=True)
class Simulation:
    model: Any
    history: List[RoundResult]


Train = Callable[[Any, Any, Round], Update]


def client(train: Train) -> Train:
    """Marks train(model, data, round) -> muster.Update as what a client does in a round. It is given back as it is."""
    try:
        inspect.signature(train).bind(None, None, None)
    except TypeError:
        raise Error(f"muster.client: {train.__name__} must take (model, data, round) and return a muster.Update") from None
    return train


def simulate(
    train: Train,
    model: Any,
    data: Union[Sequence[Any], Callable[[int], Any]],
    clients: Optional[int] = None,
    rounds: int = 10,
    cohort: Optional[int] = None,
    seed: int = 0,
    evaluate: Optional[Callable[[Any], float]] = None,
    config: Optional[Mapping[str, Any]] = None,
) -> Simulation:
    """Federated averaging without a cluster: in each round `cohort` clients (all, when absent) begin with the common model and
    train it on their own data; the next common model is their mean, weighted by examples.

    model: what all begin with, or a function that makes it: a torch module, muster.Arrays, a scikit-learn estimator with
    coef_ and intercept_, or a dict of arrays. It is copied for each client and stays as it is. data: each client's, or a
    function of its number with `clients`. evaluate(model): a number for the history, after each round. The same seed gives
    the same run. Raises muster.Error for an update that is none: another model, no examples, values that are not finite.
    McMahan et al., AISTATS 2017, algorithm 1.
    """
    count = clients if clients is not None else (None if callable(data) else len(data))
    if not count or count < 1 or (not callable(data) and count > len(data)):
        raise Error("muster.simulate: tell how many clients there are: data for each, or clients=N with a function of it")
    size = count if cohort is None else cohort
    if not 1 <= size <= count or rounds < 1:
        raise Error(f"muster.simulate: a cohort is of 1 to {count} clients, rounds are at least 1")
    common = model() if inspect.isroutine(model) or inspect.isclass(model) else copy.deepcopy(model)
    draw = random.Random(seed)
    history = []
    for number in range(1, rounds + 1):
        chosen = sorted(draw.sample(range(count), size))
        mean = _Mean(_values_of(common))
        for each in chosen:
            told = Round(number, rounds, each, draw.randrange(1 << 62), dict(config or {}))
            update = train(copy.deepcopy(common), data(each) if callable(data) else data[each], told)
            mean.add(update, each)
        _set_values(common, mean.values())
        history.append(RoundResult(number, chosen, mean.loss(), None if evaluate is None else float(evaluate(common))))
    return Simulation(common, history)


class _Mean:
    """Sums in double precision, in the order of the clients."""

    def __init__(self, before: Dict[str, Any]):
        self._before = before
        self._sums: Dict[str, Any] = {}
        self._examples = 0
        self._loss = 0.0
        self._loss_examples = 0

    def add(self, update: Any, number: int) -> None:
        import numpy

        if not isinstance(update, Update) or update.examples < 1:
            raise Error(f"client {number}: train must return a muster.Update of at least one example, not {update!r:.80}")
        values = _values_of(update.model)
        for name, before in self._before.items():
            if name not in values or values[name].shape != before.shape:
                found = "is missing" if name not in values else f"has the shape {list(values[name].shape)}"
                raise Error(f"client {number}: {name} {found}, not {list(before.shape)}; return the model that it was given")
            if not numpy.isfinite(values[name]).all():
                raise Error(f"client {number}: {name} has values that are not finite; lower the learning rate")
            self._sums[name] = self._sums.get(name, 0.0) + values[name].astype(numpy.float64) * update.examples
        self._examples += update.examples
        if update.loss is not None and math.isfinite(update.loss):
            self._loss += float(update.loss) * update.examples
            self._loss_examples += update.examples

    def values(self) -> Dict[str, Any]:
        return {name: each / self._examples for name, each in self._sums.items()}

    def loss(self) -> Optional[float]:
        return self._loss / self._loss_examples if self._loss_examples else None


def _values_of(model: Any) -> Dict[str, Any]:
    """The model's numbers by name, as NumPy arrays: views or copies."""
    import numpy

    if hasattr(model, "state_dict"):
        return {name: each.detach().cpu().numpy() for name, each in model.state_dict().items()}
    if isinstance(model, (Arrays, dict)):
        return {name: numpy.asarray(each) for name, each in model.items()}
    found = {name: getattr(model, name) for name in ("coef_", "intercept_") if hasattr(model, name)}
    if not found:
        raise Error(
            f"a {type(model).__name__} is no model: use a torch module, muster.Arrays, a dict of arrays, or an estimator whose "
            "coef_ and intercept_ are set (fit it once, or set them to zeros)"
        )
    return {name: numpy.asarray(each) for name, each in found.items()}


def _set_values(model: Any, values: Dict[str, Any]) -> None:
    """Whole numbers (how many batches a norm has seen) are rounded."""
    import numpy

    if hasattr(model, "state_dict"):
        import torch

        with torch.no_grad():
            for name, each in model.state_dict().items():
                value = values[name] if each.is_floating_point() else numpy.rint(values[name])
                each.copy_(torch.as_tensor(value))
    elif isinstance(model, Arrays):
        for name, each in model.items():
            each[...] = values[name]
    elif isinstance(model, dict):
        for name, each in model.items():
            model[name] = values[name].astype(numpy.asarray(each).dtype)
    else:
        for name, value in values.items():
            setattr(model, name, value.astype(numpy.asarray(getattr(model, name)).dtype))
