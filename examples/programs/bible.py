"""A small transformer that tells the next character of the King James Bible (Debian's package bible-kjv-text).

python3 bible.py                            alone
muster run examples/programs/bible.yaml     two of them, in a job
"""

import os
import pathlib
import struct
import subprocess

import torch
from torch import nn

import muster

CONTEXT = 64  # characters that it looks back


def verses(path):
    """The text of each verse. The file: at byte 88 the number of its parts, at 92 their offsets and its end, all big-endian;
    each part is a stream of compress(1) without the header, which gzip reads."""
    data = pathlib.Path(path).read_bytes()
    (parts,) = struct.unpack_from(">I", data, 88)
    offsets = struct.unpack_from(f">{parts + 1}I", data, 92)
    text = b""
    for begin, end in zip(offsets, offsets[1:]):
        text += subprocess.run(["gzip", "-dc"], input=b"\x1f\x9d\x90" + data[begin:end], stdout=subprocess.PIPE, check=True).stdout
    return [line.split(" ", 1)[1] for line in text.decode("ascii").splitlines()[1:] if " " in line]


def windows(codes):
    """[n, CONTEXT + 1]: each begins with the last character of the one before."""
    return codes[: (len(codes) - 1) // CONTEXT * CONTEXT + 1].unfold(0, CONTEXT + 1, CONTEXT).contiguous()


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look = nn.Linear(width, 3 * width)
        self.gather = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x, later):
        n, length, width = x.shape
        query, key, value = (
            each.view(n, length, self.heads, -1).transpose(1, 2) for each in self.look(self.norm1(x)).chunk(3, dim=2)
        )
        scores = query @ key.transpose(2, 3) / (width // self.heads) ** 0.5 + later
        x = x + self.gather((scores.softmax(3) @ value).transpose(1, 2).reshape(n, length, width))
        return x + self.think(self.norm2(x))


class Transformer(nn.Module):
    """[n, up to CONTEXT] characters -> [n, same, characters]: the logits of the one after each."""

    def __init__(self, characters, width=64, heads=4, layers=2):
        super().__init__()
        self.of_character = nn.Embedding(characters, width)
        self.of_place = nn.Parameter(torch.randn(CONTEXT, width) * 0.02)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, characters)
        self.register_buffer("later", torch.full((CONTEXT, CONTEXT), float("-inf")).triu(1), persistent=False)

    def forward(self, x):
        length = x.shape[1]
        hidden = self.of_character(x) + self.of_place[:length]
        for layer in self.layers:
            hidden = layer(hidden, self.later[:length, :length])
        return self.out(self.norm(hidden))


def loss_of(model, batch):
    """Mean of nats a character."""
    return nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def order_1(train, test, characters):
    """Nats a character of a table: how often each character follows each, in `train`."""
    counts = torch.full((characters, characters), 0.1)
    counts.view(-1).index_add_(0, train[:-1] * characters + train[1:], torch.ones(len(train) - 1))
    chances = (counts / counts.sum(1, keepdim=True)).log()
    return -chances[test[:-1], test[1:]].mean().item()


torch.manual_seed(0)
torch.set_num_threads(1)
found = verses(os.environ.get("DATA", "/usr/lib/bible.data"))
characters = sorted(set("".join(found)) | {"\n"})
number = {character: index for index, character in enumerate(characters)}
train, test = (
    torch.tensor([number[each] for verse in part for each in verse + "\n"])
    for part in ([verse for i, verse in enumerate(found) if i % 10 != 9], found[9::10])
)
model = Transformer(len(characters))
base = torch.optim.AdamW(model.parameters(), 3e-3)

job = muster.init()  # 1
opt = muster.Optimizer(base, model)  # 2
for batch in job.batches(windows(train)[:: int(os.environ.get("EVERY", 1))], batch_size=64):  # 3
    loss = loss_of(model, batch)
    loss.backward()
    job.report(loss=loss)
    opt.step()
    opt.zero_grad()

if job.rank == 0:
    model.eval()
    with torch.no_grad():
        parts = windows(test)
        nats = sum(loss_of(model, part).item() * len(part) for part in parts.split(500)) / len(parts)
        right = torch.cat([model(part[:, :-1]).argmax(2) == part[:, 1:] for part in parts.split(500)]).float().mean().item()
    job.report(accuracy=right)
    table = order_1(train, test, len(characters))
    print(f"perplexity {torch.tensor(nats).exp():.3f} of verses that were held back; of the order-1 model {torch.tensor(table).exp():.3f}")
