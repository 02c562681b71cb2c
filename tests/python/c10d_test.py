"""The backend "muster" of torch.distributed alone, where every collective is what is there already; in jobs it is
tests/process/program_clients_test.sh that runs it. Each case in a process of its own: a group is one of a process."""

import os
import subprocess
import sys
import textwrap
import unittest


def run(script):
    environment = {name: value for name, value in os.environ.items() if name not in ("MUSTER_SOCKET", "RANK")}
    head = "import torch, torch.distributed as dist, muster.c10d\ndist.init_process_group('muster')\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)], env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


class Alone(unittest.TestCase):
    def test_collectives_of_one(self):
        code, out, err = run(
            """
            assert (dist.get_rank(), dist.get_world_size()) == (0, 1)
            for dtype in (torch.float32, torch.float64, torch.int64, torch.bfloat16):
                for op in (dist.ReduceOp.SUM, dist.ReduceOp.AVG, dist.ReduceOp.MIN, dist.ReduceOp.MAX, dist.ReduceOp.PRODUCT):
                    x = torch.tensor([[3, -2], [5, 7]]).to(dtype).t()
                    dist.all_reduce(x, op)
                    assert x.tolist() == [[3, 5], [-2, 7]], (dtype, op, x)
            x = torch.arange(6.)
            dist.broadcast(x, 0)
            rows = [torch.zeros(6)]
            dist.all_gather(rows, x)
            assert rows[0].tolist() == x.tolist()
            part = torch.zeros(6)
            dist.reduce_scatter(part, [x])
            assert part.tolist() == x.tolist()
            work = dist.all_reduce(x, async_op=True)
            work.wait()
            dist.barrier()
            assert dist.get_backend() == "muster"
            dist.destroy_process_group()
            print("all well")
            """
        )
        self.assertEqual((code, out), (0, "all well\n"), err)

    def test_a_larger_tensor_than_the_room_goes_in_pieces(self):
        code, _, err = run(
            """
            x = torch.arange(5 << 22, dtype=torch.float32)  # 80 MiB
            rows = [torch.zeros(1)]
            dist.all_reduce(x)
            rows = [torch.empty_like(x)]
            dist.all_gather(rows, x)
            assert (rows[0] == torch.arange(5 << 22)).all()
            """
        )
        self.assertEqual(code, 0, err)

    def test_ddp(self):
        code, _, err = run(
            """
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
            twin = __import__("copy").deepcopy(model)
            model = torch.nn.parallel.DistributedDataParallel(model)
            x = torch.randn(16, 3)
            for each in (model, twin):
                each(x).square().mean().backward()
            for a, b in zip(model.parameters(), twin.parameters()):
                assert torch.equal(a.grad, b.grad)
            """
        )
        self.assertEqual(code, 0, err)

    def test_others_are_refused_by_name(self):
        code, _, err = run(
            """
            for call, name in (
                (lambda: dist.reduce(torch.zeros(1), 0), "no reduce;"),
                (lambda: dist.all_to_all([torch.zeros(1)], [torch.zeros(1)]), "no alltoall;"),
                (lambda: dist.all_reduce(torch.zeros(1, dtype=torch.int32), dist.ReduceOp.BXOR), "not "),
                (lambda: dist.all_reduce(torch.ones(1).to_sparse()), "of dense real tensors"),
            ):
                try:
                    call()
                except RuntimeError as error:
                    assert name in str(error), error
                else:
                    assert False, name
            """
        )
        self.assertEqual(code, 0, err)


if __name__ == "__main__":
    unittest.main()
