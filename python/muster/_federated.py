"""Federated learning by one function, in this process: clients that train on their own data, and the mean of what they learnt."""

import copy
import dataclasses
import inspect
import math
import operator
import random
import statistics
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ._library import Error
from ._measured import accuracy_of, loss_of
from ._values import check_whole, made, set_values, values_of


@dataclasses.dataclass(frozen=True)
class Round:
    """What a client is told beside model and data."""

    number: int  # counted from 1
    rounds: int
    client: int  # counted from 0
    seed: int  # of this client's shuffles in this round
    # How to train: in a federation local_epochs, batch_size (0: all at once), learning_rate and mu (of FedProx: mu / 2 times
    # the squared distance from the model that came is a part of the loss), as the manifest says; else as simulate was given.
    config: Mapping[str, Any]
    due: Optional[float] = None  # time.monotonic() when the round is over, and an update counts no more; None: no limit

    @property
    def seconds_left(self) -> float:
        """Until an update counts no more; infinite without a limit."""
        return math.inf if self.due is None else max(0.0, self.due - time.monotonic())


@dataclasses.dataclass(frozen=True)
class Update:
    """What a client has learnt: its whole model (as simulate gave it, trained), and on how many examples.

    examples: >= 1, the weight of the update. loss: mean over them, and accuracy (0..1), of the client's own test: for the
    history and a target; the aggregator has no data. What is no number, or no share, is refused; None: not measured.
    """

    model: Any
    examples: int
    loss: Optional[float] = None
    accuracy: Optional[float] = None


@dataclasses.dataclass(frozen=True)
class RoundResult:
    number: int
    clients: List[int]
    loss: Optional[float]  # median of what the clients told, as of an aggregator; None: nobody did
    accuracy: Optional[float]  # likewise
    metric: Optional[float]  # of `evaluate`


@dataclasses.dataclass(frozen=True)
class Simulation:
    model: Any
    history: List[RoundResult]


Train = Callable[[Any, Any, Round], Update]
_USUAL = {"local_epochs": 1, "batch_size": 10, "learning_rate": 0.01, "mu": 0.0}  # a manifest's defaults


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
    common = made(model)
    draw = random.Random(seed)
    history = []
    for number in range(1, rounds + 1):
        chosen = sorted(draw.sample(range(count), size))
        mean = _Mean(values_of(common))
        for each in chosen:
            told = Round(number, rounds, each, draw.randrange(1 << 62), {**_USUAL, **(config or {})})
            update = train(copy.deepcopy(common), data(each) if callable(data) else data[each], told)
            mean.add(update, each)
        set_values(common, mean.values())
        history.append(RoundResult(number, chosen, mean.loss(), mean.accuracy(), None if evaluate is None else float(evaluate(common))))
    return Simulation(common, history)


def checked(update: Any, number: int, before: Dict[str, Any]) -> Dict[str, Any]:
    """The values of client `number`'s update, which has those of the model `before`. Raises muster.Error for one that is none."""
    import numpy

    if not isinstance(update, Update):
        raise Error(f"client {number}: train must return a muster.Update, not {update!r:.80}")
    told_of(update, number)
    values = values_of(update.model)
    for name, each in before.items():
        if name not in values or values[name].shape != each.shape:
            found = "is missing" if name not in values else f"has the shape {list(values[name].shape)}"
            raise Error(f"client {number}: {name} {found}, not {list(each.shape)}; return the model that it was given")
        if not numpy.isfinite(values[name]).all():
            raise Error(f"client {number}: {name} has values that are not finite; lower the learning rate")
    check_whole(values, f"client {number}")
    return values


def told_of(update: Update, number: int) -> Tuple[int, Optional[float], Optional[float]]:
    """Examples, loss and accuracy as numbers. Raises muster.Error where one is none, or an accuracy no share of 1."""
    try:
        examples = operator.index(update.examples)
    except TypeError:
        examples = 0
    if examples < 1:
        raise Error(f"client {number}: examples of muster.Update must be a whole number of at least one example, not {update.examples!r:.80}")
    loss = None if update.loss is None else loss_of(update.loss, f"client {number}: loss of muster.Update")
    accuracy = None if update.accuracy is None else accuracy_of(update.accuracy, f"client {number}: accuracy of muster.Update")
    return examples, loss, accuracy


class _Mean:
    """Sums in double precision, in the order of the clients."""

    def __init__(self, before: Dict[str, Any]):
        self._before = before
        self._sums: Dict[str, Any] = {}
        self._examples = 0
        self._told: Dict[str, List[float]] = {"loss": [], "accuracy": []}

    def add(self, update: Any, number: int) -> None:
        import numpy

        values = checked(update, number, self._before)
        examples, loss, accuracy = told_of(update, number)
        for name in self._before:
            self._sums[name] = self._sums.get(name, 0.0) + values[name].astype(numpy.float64) * examples
        self._examples += examples
        for name, told in (("loss", loss), ("accuracy", accuracy)):
            if told is not None:
                self._told[name].append(told)

    def values(self) -> Dict[str, Any]:
        return {name: each / self._examples for name, each in self._sums.items()}

    def loss(self) -> Optional[float]:
        return self._median("loss")

    def accuracy(self) -> Optional[float]:
        return self._median("accuracy")

    def _median(self, name: str) -> Optional[float]:
        return statistics.median(self._told[name]) if self._told[name] else None
