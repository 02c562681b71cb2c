"""A model of your own in PyTorch, in a job of Muster or alone: the three lines that make it so are marked.

python3 fashion_mnist.py                        alone
muster run examples/programs/fashion-mnist.yaml   four of them, in a job
"""

import gzip
import os

import torch
from torch import nn

import muster


def images(folder, part):
    """All images [n, 1, 28, 28], 0 to 1, and their classes [n], of Fashion-MNIST's IDX files."""
    with gzip.open(f"{folder}/{part}-images-idx3-ubyte.gz") as file:
        pixels = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8)
    with gzip.open(f"{folder}/{part}-labels-idx1-ubyte.gz") as file:
        classes = torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8)
    return pixels.view(-1, 1, 28, 28).float() / 255, classes.long()


class Block(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.around = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        return torch.relu(self.way(x) + self.around(x))


torch.manual_seed(0)
torch.set_num_threads(1)
folder = os.environ.get("DATA", "/usr/share/datasets/fashion-mnist")
model = nn.Sequential(
    Block(1, 8, 2), Block(8, 16, 2), Block(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
)
loss_of = nn.CrossEntropyLoss()
train = images(folder, "train")

job = muster.init()  # 1
opt = muster.Optimizer(torch.optim.AdamW(model.parameters(), 2e-3), model)  # 2
for x, y in job.batches(train, batch_size=64):  # 3
    loss = loss_of(model(x), y)
    loss.backward()
    job.report(loss=loss)
    opt.step()
    opt.zero_grad()

if job.rank == 0:
    model.eval()
    x, y = images(folder, "t10k")
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in x.split(1000)])
    accuracy = (found == y).float().mean().item()
    job.report(accuracy=accuracy)
    print(f"accuracy {accuracy:.4f} after {job.step} steps")
