"""Federated averaging in one process: against a sum by hand, and against wrong updates."""

import copy
import math
import os
import types
import unittest
from unittest import mock

import numpy
import torch

import muster
from muster import _library, _serve, _values


def descent(model, data, round):
    x, y = data
    for _ in range(round.config.get("steps", 1)):
        error = x @ model["w"] - y
        model["w"] -= 0.1 * (error @ x) / len(x)
    return muster.Update(model, examples=len(x), loss=float((error**2).mean()))


def parts(sizes):
    draw = numpy.random.default_rng(1)
    made = []
    for size in sizes:
        x = draw.normal(size=(size, 3))
        made.append((x, x @ numpy.array([2.0, -1.0, 0.5])))
    return made


class Simulate(unittest.TestCase):
    def test_is_the_mean_of_the_clients_weighted_by_examples(self):
        data = parts([10, 30])
        start = {"w": numpy.ones(3)}
        done = muster.simulate(descent, start, data, rounds=1)
        alone = [descent(copy.deepcopy(start), each, muster.Round(1, 1, 0, 0, {})).model["w"] for each in data]
        numpy.testing.assert_allclose(done.model["w"], (10 * alone[0] + 30 * alone[1]) / 40, rtol=1e-12)
        self.assertTrue((start["w"] == 1).all(), "what it was given stays")

    def test_learns_and_is_the_same_for_the_same_seed(self):
        run = lambda seed: muster.simulate(
            descent,
            lambda: {"w": numpy.zeros(3)},
            lambda number: parts([20 + number] * 8)[number],
            clients=8,
            cohort=3,
            rounds=60,
            seed=seed,
            evaluate=lambda model: float(abs(model["w"] - [2, -1, 0.5]).max()),
            config={"steps": 3},
        )
        first, again, other = run(1), run(1), run(2)
        self.assertLess(first.history[-1].metric, 0.01)
        self.assertLess(first.history[-1].loss, first.history[0].loss)
        self.assertTrue((first.model["w"] == again.model["w"]).all())
        self.assertNotEqual([each.clients for each in first.history], [each.clients for each in other.history])
        self.assertTrue(all(len(set(each.clients)) == 3 for each in first.history))

    def test_torch_modules_with_buffers(self):
        @muster.client
        def train(model, data, round):
            model.train()
            model(data)
            with torch.no_grad():
                model[0].weight += len(data)
            return muster.Update(model, examples=len(data))

        norm = torch.nn.Sequential(torch.nn.BatchNorm1d(2))
        done = muster.simulate(train, norm, [torch.ones(4, 2), torch.ones(12, 2) * 3], rounds=1)
        self.assertEqual(done.model[0].weight.tolist(), [1 + (4 * 4 + 12 * 12) / 16] * 2)
        self.assertAlmostEqual(done.model[0].running_mean[0].item(), 0.1 * (4 * 1 + 12 * 3) / 16, places=6)
        self.assertEqual(done.model[0].num_batches_tracked.item(), 1)
        self.assertIsNone(done.history[0].loss)

    def test_whole_numbers_are_rounded_in_every_kind_of_model(self):
        values = {"n": numpy.array([2.9999998, -2.6])}
        model = {"n": numpy.zeros(2, numpy.int64)}
        _values.set_values(model, values)
        self.assertEqual(model["n"].tolist(), [3, -3])
        estimator = types.SimpleNamespace(coef_=numpy.zeros(2, numpy.int64))
        _values.set_values(estimator, {"coef_": values["n"]})
        self.assertEqual(estimator.coef_.tolist(), [3, -3])

    def test_estimators_by_their_coefficients(self):
        class Estimator:  # as scikit-learn's linear models are
            def __init__(self):
                self.coef_, self.intercept_ = numpy.zeros((1, 3)), numpy.zeros(1)

        def train(model, data, round):
            model.coef_ = model.coef_ + data
            return muster.Update(model, examples=1)

        done = muster.simulate(train, Estimator, [1.0, 2.0], rounds=2)
        self.assertEqual(done.model.coef_.tolist(), [[3.0] * 3])


class Measured(unittest.TestCase):
    def test_a_loss_may_lie_below_zero_and_a_mean_of_float32_a_little_above_one(self):
        def train(model, data, round):
            return muster.Update(model, 1, loss=torch.tensor(-1.5, requires_grad=True), accuracy=numpy.float32(1.0000001))

        run = muster.simulate(train, {"w": numpy.zeros(3)}, parts([5, 5]), rounds=1)
        self.assertEqual((run.history[0].loss, run.history[0].accuracy), (-1.5, 1.0))


class WrongUpdates(unittest.TestCase):
    def expect(self, says, train, **more):
        with self.assertRaisesRegex(muster.Error, says):
            muster.simulate(train, {"w": numpy.zeros(3)}, **{"data": parts([5, 5]), **more})

    def test_are_named_with_their_client(self):
        self.expect("client 0: train must return a muster.Update", lambda model, data, round: model)
        self.expect("at least one example", lambda model, data, round: muster.Update(model, 0))
        for examples in (2.7, math.nan, "7", None):
            self.expect("client 0: examples of", lambda model, data, round, many=examples: muster.Update(model, many))
        for loss in (torch.ones(2), "low"):
            self.expect("client 0: loss of muster.Update must be one", lambda model, data, round, told=loss: muster.Update(model, 1, told))
        for loss, accuracy, says in (
            (1.0, 97.5, "client 0: accuracy of muster.Update is 97.5; accuracy is a share, 0 to 1: divide by 100"),
            (1.0, -0.1, "accuracy of muster.Update is -0.1; accuracy is a share, 0 to 1: tell what part"),
            (1.0, math.nan, "accuracy of muster.Update is nan"),
            (1.0, math.inf, "accuracy of muster.Update is inf"),
            (1.0, "high", "accuracy of muster.Update must be one number"),
            (math.nan, None, "client 0: loss of muster.Update is nan, of which no mean can be made"),
            (-math.inf, None, "loss of muster.Update is -inf"),
            (10**400, None, "loss of muster.Update must be one number"),
            (1e101, None, r"loss of muster.Update is 1e.101"),
        ):
            told = muster.Update({"w": numpy.zeros(3)}, 1, loss, accuracy)
            self.expect(says, lambda model, data, round, told=told: told)
        for examples in (-3, 0):
            self.expect(f"at least one example, not {examples}", lambda model, data, round, many=examples: muster.Update(model, many))
        self.expect("client 0: w is missing", lambda model, data, round: muster.Update({"v": model["w"]}, 1))
        self.expect("has the shape .2., not .3.", lambda model, data, round: muster.Update({"w": numpy.ones(2)}, 1))
        self.expect("not finite", lambda model, data, round: muster.Update({"w": model["w"] * math.nan}, 1))
        self.expect("is no model", lambda model, data, round: muster.Update(object(), 1))

    def test_whole_numbers_that_float32_does_not_hold_are_refused_by_name(self):
        for value in (2**24 + 1, -(2**40)):
            with self.assertRaisesRegex(muster.Error, "client 0: seen is of int64 and has whole numbers beyond 2.24"):
                muster.simulate(
                    lambda model, data, round, value=value: muster.Update({"seen": numpy.array([value])}, 1),
                    {"seen": numpy.array([0])},
                    [None],
                )

    def test_settings_that_cannot_be(self):
        self.expect("how many clients", descent, data=lambda number: None)
        self.expect("a cohort is of 1 to 2", descent, cohort=3)
        with self.assertRaisesRegex(muster.Error, "must take"):
            muster.client(lambda model: None)


class Serve(unittest.TestCase):
    def setUp(self):
        os.environ.pop("MUSTER_SOCKET", None)

    def test_alone_is_a_simulation_with_the_defaults_of_a_manifest(self):
        seen = []

        @muster.client
        def train(model, data, round):
            seen.append((dict(round.config), round.seconds_left))
            return muster.Update(model, examples=data + 1, loss=1.0, accuracy=data / 4)

        done = muster.serve(train, {"w": numpy.zeros(2)}, lambda client: client, clients=4, rounds=1, config={"mu": 0.5})
        usual = {"local_epochs": 1, "batch_size": 10, "learning_rate": 0.01, "mu": 0.5}
        self.assertEqual(seen, [(usual, math.inf)] * 4)
        self.assertAlmostEqual(done.history[0].accuracy, (1 + 2) / 2 / 4, msg="the median")

    def test_what_was_measured_goes_to_the_library_and_an_accuracy_by_itself_is_warned_of(self):
        served = _serve._Clients.__new__(_serve._Clients)
        served._lib = mock.Mock(**{"muster_update_ready.return_value": 0})
        served._handle = None
        served._model = {"w": numpy.zeros(3)}
        served._tensors = [("w", (3,), 1)]
        served._round, served._federation = _library.Round(deadline_ms=1000), _library.Federation()
        served._given, served._trained = {"w": numpy.ones(3, "float32")}, {"w": numpy.zeros(3, "float32")}
        with self.assertWarnsRegex(UserWarning, "accuracy counts with a loss alone"):
            served.answer(lambda model, data, round: muster.Update(model, 7, accuracy=0.5), [None])
        _, examples, loss, accuracy = served._lib.muster_update_ready.call_args[0]
        self.assertTrue(math.isnan(loss))
        self.assertEqual((examples, accuracy, served._trained["w"].tolist()), (7, 0.5, [1, 1, 1]))
        with self.assertRaisesRegex(muster.Error, "divide by 100"):
            served.answer(lambda model, data, round: muster.Update(model, 7, 1.0, 97.5), [None])
        self.assertIn(b"divide by 100", served._lib.muster_round_failed.call_args[0][1])

    def test_what_is_no_function_of_three_is_refused(self):
        with self.assertRaisesRegex(muster.Error, "must take \\(model, data, round\\)"):
            muster.serve(lambda model: None, {}, [])

    def test_types_are_told_by_name(self):
        module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        told = {name: (shape, _values._TYPES[kind]) for name, shape, kind in _values.types_of(module)}
        self.assertEqual(told["0.weight"], ((3, 2), "float32"))
        self.assertEqual(told["1.num_batches_tracked"], ((), "int64"))
        self.assertEqual(_values.types_of({"x": numpy.zeros(2)}), [("x", (2,), 1)])
        with self.assertRaisesRegex(muster.Error, "x is of complex128"):
            _values.types_of({"x": numpy.zeros(2, dtype=complex)})

    def test_bfloat16_comes_and_goes(self):
        module = torch.nn.Linear(2, 1).to(torch.bfloat16)
        values = _values.values_of(module)
        self.assertEqual(values["weight"].dtype, numpy.float32)
        _values.set_values(module, {name: each + 1 for name, each in values.items()})
        self.assertEqual(module.weight.dtype, torch.bfloat16)


if __name__ == "__main__":
    unittest.main()
