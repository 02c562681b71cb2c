"""A stock DistributedDataParallel script. What makes it one of Muster are the import and the name of the backend.

python3 ddp.py                                    alone: a group of one
muster run examples/programs/ddp.yaml             three of them, in a DistributedJob
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import muster.c10d  # noqa: F401: it brings the backend

torch.set_num_threads(1)
dist.init_process_group("muster")
rank, size = dist.get_rank(), dist.get_world_size()

draw = torch.Generator().manual_seed(0)
centres = torch.randn(10, 32, generator=draw)
classes = torch.randint(10, (6000,), generator=draw)
points = centres[classes] + torch.randn(6000, 32, generator=draw)
dataset = TensorDataset(points, classes)
sampler = DistributedSampler(dataset, num_replicas=size, rank=rank)

torch.manual_seed(rank)  # DDP begins with rank 0's
model = nn.Sequential(nn.Linear(32, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 10))
model = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
loss_of = nn.CrossEntropyLoss()

for epoch in range(5):
    sampler.set_epoch(epoch)
    for x, y in DataLoader(dataset, batch_size=40, sampler=sampler):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
    told = loss.detach().clone()
    dist.all_reduce(told, dist.ReduceOp.AVG)
    if rank == 0:
        print(f"epoch {epoch + 1}: loss {told.item():.4f}", flush=True)

parameters = sum(each.double().sum().item() for each in model.parameters())
print(f"rank {rank} of {size} is done, its parameters add up to {parameters:.9f}")
dist.destroy_process_group()
