"""Gradients that are told while backward() goes on, and programs that touch them before opt.step()."""

import os
import unittest
import warnings

import torch

import muster
from muster import _job
from muster._backward import Backward

X = torch.linspace(-1, 1, 96).reshape(32, 3)
Y = X.sum(1, keepdim=True)


class Early(unittest.TestCase):
    def setUp(self):
        _job._job = None
        os.environ.pop("MUSTER_SOCKET", None)
        torch.manual_seed(1)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        self.job = muster.init()

    def tearDown(self):
        self.job.close()

    def train(self, touch=lambda step: None, overlap=True, zero=True):
        """The parameters that are told in each step, as the worker would hear them; alone nobody asks."""
        opt = muster.Optimizer(torch.optim.SGD(self.model.parameters(), 0.1), self.model, overlap=overlap)
        told = []
        names = [name for name, _ in self.model.named_parameters()]
        opt._backward._tell = lambda number: told[-1].append(names[number])
        for step, (x, y) in enumerate(self.job.batches((X, Y), batch_size=8)):
            told.append([])
            opt.begin_gradient()
            ((self.model(x) - y) ** 2).mean().backward()
            touch(step)
            opt.step()
            if zero:
                opt.zero_grad()
        return told

    def test_all_are_told_once_from_the_last_layer_on_after_two_steps_that_were_watched(self):
        told = self.train()
        self.assertEqual(told[:2], [[], []])
        for each in told[2:]:
            self.assertEqual(sorted(each), sorted(name for name, _ in self.model.named_parameters()))
            self.assertEqual({name[0] for name in each[:2]}, {"2"})

    def test_gradients_that_stay_and_are_added_to_are_told_as_well(self):
        self.assertEqual([len(each) for each in self.train(zero=False)], [0, 0, 4, 4])

    def test_whoever_asks_for_it_is_told_nothing(self):
        self.assertEqual(self.train(overlap=False), [[]] * 4)

    def test_a_program_that_clips_is_never_told_of(self):
        self.assertEqual(self.train(touch=lambda step: torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1e-3)), [[]] * 4)

    def test_nor_one_that_discards_a_batch_by_zeros(self):
        def discard(step):
            self.job._optimizer.zero_grad(set_to_none=False)

        self.assertEqual(self.train(touch=discard), [[]] * 4)

    def test_a_parameter_that_gets_no_gradient_has_one_of_zeros(self):
        class Nothing(torch.autograd.Function):
            @staticmethod
            def forward(context, x, weight):
                return x

            @staticmethod
            def backward(context, slope):
                return slope, None

        for overlap in (False, True):
            self.tearDown()
            self.setUp()
            self.model[2].register_forward_hook(lambda module, _, out: Nothing.apply(out, self.model[2].weight))
            self.assertEqual(len(self.train(overlap=overlap)), 4)

    def test_it_is_asked_for(self):
        opt = muster.Optimizer(torch.optim.SGD(self.model.parameters(), 0.1), self.model)
        self.assertFalse(opt._backward._overlap)

    def test_nor_one_that_makes_gradients_of_its_own(self):
        def replace(step):
            self.model[0].weight.grad = torch.zeros_like(self.model[0].weight)

        self.assertEqual(self.train(touch=replace), [[]] * 4)

    def test_nor_one_of_two_backward_passes(self):
        self.assertEqual(self.train(touch=lambda step: self.model(X).mean().backward()), [[]] * 4)

    def test_nor_one_that_derives_twice(self):
        def derive(step):
            self.model.zero_grad(set_to_none=True)
            self.model(X).pow(2).mean().backward(create_graph=True)
            self.assertTrue(self.model[0].weight.grad.requires_grad)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the cycle that such a gradient is
            self.assertEqual(self.train(touch=derive), [[]] * 4)

    def test_one_that_begins_to_when_gradients_are_on_their_way_is_ended(self):
        for how, says in (
            (lambda: torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1e-3), "gradient of 0.weight was changed between"),
            (lambda: self.model[2](torch.ones(1, 4)).mean().backward(), "gradient of 2.(weight|bias) was added to by a second"),
        ):
            self.tearDown()
            self.setUp()
            with self.assertRaisesRegex(muster.Error, says + ".*overlap=False"):
                self.train(touch=lambda step, how=how: how() if step == 3 else None)

    def test_what_is_looked_at_between_them_is_the_own_gradient(self):
        seen = []
        self.train(touch=lambda step: seen.append(self.model[2].weight.grad.norm().item()))
        self.assertEqual(len(seen), 4)
        self.assertTrue(all(each > 0 for each in seen))

    def test_the_hook_of_older_torch_hears_the_same(self):
        parameter = torch.nn.Parameter(torch.ones(3))
        place, told = torch.zeros(3), []
        hidden = type("Old", (), {"expand_as": lambda self, other: parameter.expand_as(parameter)})()
        from muster import _backward

        kept = _backward._after_accumulation(hidden, lambda *_: told.append(parameter.grad.clone()))
        (parameter * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        self.assertIsNotNone(kept)
        self.assertEqual([each.tolist() for each in told], [[1.0, 2.0, 3.0]])
        self.assertIsNotNone(Backward([(0, "w", parameter, place)], told.append, True))


if __name__ == "__main__":
    unittest.main()
