"""Muster: train a model of your own in a DistributedJob, or alone, with three changed lines.

    job = muster.init()
    opt = muster.Optimizer(torch.optim.AdamW(model.parameters(), 1e-3), model)
    for x, y in job.batches(dataset, batch_size=64):
        loss = loss_fn(model(x), y)
        loss.backward()
        job.report(loss=loss)
        opt.step()
        opt.zero_grad()
"""

from ._job import Ended, Job, init
from ._library import Error
from ._optimizer import Arrays, Optimizer
from ._version import __version__

__all__ = ["Arrays", "Ended", "Error", "Job", "Optimizer", "init", "__version__"]
