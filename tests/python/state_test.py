"""States as bytes: what comes back, and what is refused."""

import math
import random
import unittest

import numpy
import torch

import muster
from muster import _state


class State(unittest.TestCase):
    def test_comes_back_as_it_was(self):
        value = {
            "none": None,
            3: [True, -(1 << 60), 0.1, "é", (1, (2,))],
            "empty": {},
            "tensor": torch.arange(6, dtype=torch.float64).reshape(2, 3),
            "scalar": torch.tensor(7),
            "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
            "nothing": torch.zeros(0, 3),
            "array": numpy.array([[1, 2], [3, 4]], dtype=numpy.int32),
        }
        back = _state.decode(_state.encode(value))
        self.assertEqual(list(back), list(value))
        self.assertEqual(back[3], value[3])
        self.assertIsInstance(back[3][4], tuple)
        for name in ("tensor", "scalar", "half", "nothing"):
            self.assertEqual(back[name].dtype, value[name].dtype)
            self.assertTrue(torch.equal(back[name], value[name]), name)
        self.assertTrue((back["array"] == value["array"]).all())
        back["array"][0, 0] = 9  # it may be written to

    def test_of_an_optimizer_goes_on_where_it_was(self):
        def trained(optimizer, parameter, steps):
            for step in range(steps):
                parameter.grad = torch.full_like(parameter, 0.1 * step)
                optimizer.step()

        one, two = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
        first = torch.optim.AdamW([one], 0.1)
        trained(first, one, 3)
        second = torch.optim.AdamW([two], 0.5)
        second.load_state_dict(_state.decode(_state.encode(first.state_dict())))
        two.data.copy_(one.data)
        trained(first, one, 2)
        trained(second, two, 2)
        self.assertTrue(torch.equal(one, two))

    def test_not_a_number_travels(self):
        self.assertTrue(math.isnan(_state.decode(_state.encode(math.nan))))

    def test_what_cannot_travel_is_named_with_its_place(self):
        for value, says in (({"a": [object()]}, r"\['a'\]\[0\].*object"), ({"f": print}, "cannot travel"), (torch.zeros(1, dtype=torch.complex64), "complex64")):
            with self.assertRaisesRegex(muster.Error, says):
                _state.encode(value)

    def test_bytes_of_any_kind_are_refused_or_read(self):
        good = _state.encode({"t": torch.ones(5), "l": [1, (2, None)], "a": numpy.ones(3)})
        draw = random.Random(1)
        for _ in range(3000):
            bad = bytearray(good[: draw.randrange(len(good) + 1)])
            for _ in range(draw.randrange(4)):
                if bad:
                    bad[draw.randrange(len(bad))] = draw.randrange(256)
            try:
                _state.decode(bytes(bad))
            except muster.Error:
                pass

    def test_a_code_in_disguise_is_not_run(self):
        with self.assertRaises(muster.Error):
            _state.decode(b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.")


if __name__ == "__main__":
    unittest.main()
