"""muster.Optimizer where a torch optimizer is asked for, and models that change behind its back."""

import os
import unittest
import warnings

import torch

import muster
from muster import _job

X = torch.linspace(-1, 1, 90).reshape(30, 3)
Y = X @ torch.tensor([2.0, -1.0, 0.5]) + 3


def linear():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))


def fresh(model, **more):
    _job._job = None
    os.environ.pop("MUSTER_SOCKET", None)
    job = muster.init()
    return job, muster.Optimizer(torch.optim.SGD(model.parameters(), 0.1), model, **more)


def train(job, opt, model, change=lambda: None, after=lambda: None):
    for x, y in job.batches((X, Y), batch_size=6, epochs=2):
        ((model(x)[:, 0] - y) ** 2).mean().backward()
        change()
        opt.step()
        opt.zero_grad()
        after()


class AsTorchs(unittest.TestCase):
    def tearDown(self):
        _job._job.close()

    def test_a_scheduler_takes_it_and_does_as_with_the_base(self):
        found = []
        for of in (lambda opt: opt, lambda opt: opt.base):
            model = linear()
            job, opt = fresh(model)
            scheduler = torch.optim.lr_scheduler.StepLR(of(opt), 3, 0.5)
            opt.also.append(scheduler)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                train(job, opt, model, after=scheduler.step)
            self.assertAlmostEqual(opt.param_groups[0]["lr"], 0.1 * 0.5**3)
            self.assertEqual(opt.base.param_groups[0]["lr"], opt.param_groups[0]["lr"])
            found.append([each.detach().clone() for each in model.parameters()])
            self.assertIn("also", muster._state.decode(opt.give_state()))
        for a, b in zip(*found):
            self.assertTrue(torch.equal(a, b))

    def test_it_is_one_and_everything_of_it_is_the_bases(self):
        model = linear()
        _, opt = fresh(model)
        self.assertIsInstance(opt, torch.optim.Optimizer)
        self.assertIsInstance(opt, muster.Optimizer)
        self.assertIs(opt.state, opt.base.state)
        self.assertIs(opt.defaults, opt.base.defaults)
        opt.load_state_dict(opt.state_dict())
        self.assertIs(opt.state, opt.base.state)
        self.assertIn("SGD", repr(opt))
        with self.assertRaisesRegex(muster.Error, "add the group to its base before"):
            opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})

    def test_of_arrays_it_is_none(self):
        _job._job = None
        muster.init()
        opt = muster.Optimizer(type("Rule", (), {"step": lambda self: None})(), muster.Arrays({"w": [1.0]}))
        self.assertNotIsInstance(opt, torch.optim.Optimizer)

    def test_a_scheduler_that_would_stay_behind_is_warned_of(self):
        for known in (True, False):
            model = linear()
            job, opt = fresh(model)
            scheduler = torch.optim.lr_scheduler.StepLR(opt, 3)
            opt.also.extend([scheduler] if known else [])
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                job.batches((X, Y))
            self.assertEqual([str(each.message)[:41] for each in told], [] if known else ["muster: the optimizer has a learning rate"])
            job.close()


class ChangedModels(unittest.TestCase):
    def tearDown(self):
        _job._job.close()

    def expect_of(self, says, change):
        model = linear()
        job, opt = fresh(model)
        with self.assertRaisesRegex(muster.Error, says):
            train(job, opt, model, change=lambda: change(model))

    def test_a_parameter_that_another_took_the_place_of(self):
        def replace(model):
            model[1].weight = torch.nn.Parameter(torch.zeros(1, 2))

        self.expect_of("parameter 1.weight was replaced.*in place", replace)

    def test_a_parameter_that_was_taken_away(self):
        self.expect_of("parameter 1.bias was replaced", lambda model: model[1].register_parameter("bias", None))

    def test_a_layer_that_came_later(self):
        model = linear()
        job, _ = fresh(model)
        model.add_module("2", torch.nn.Linear(1, 1))
        with self.assertRaisesRegex(muster.Error, "parameter 2.weight was added.*before"):
            job.batches((X, Y))

    def test_tied_parameters_are_one(self):
        model = linear()
        model[0].again = model[1]
        job, opt = fresh(model)
        train(job, opt, model)
        self.assertEqual(job.step, 10)


if __name__ == "__main__":
    unittest.main()
