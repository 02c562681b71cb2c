"""Hugging Face's Trainer in a job of Muster, or alone: a small GPT-2, made from a config, learns to copy and to reverse texts.

python3 hugging_face.py                             alone
muster run examples/programs/hugging-face.yaml      two of them, in a job
Needs transformers and accelerate (pip install transformers accelerate); nothing is downloaded.
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import muster
import muster.hugging_face

LENGTH = 8


class Palindromes(torch.utils.data.Dataset):
    """Texts of LENGTH digits, and the same backwards: their second half can be known, their first cannot."""

    def __init__(self, count):
        forward = torch.randint(10, (count, LENGTH), generator=torch.Generator().manual_seed(0))
        self.texts = torch.cat([forward, forward.flip(1)], 1)

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        labels = self.texts[index].clone()
        labels[:LENGTH] = -100  # not part of the loss
        return {"input_ids": self.texts[index], "labels": labels}


torch.set_num_threads(1)
torch.manual_seed(0)
model = GPT2LMHeadModel(
    GPT2Config(vocab_size=10, n_positions=2 * LENGTH, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
)
arguments = TrainingArguments(
    output_dir="hugging-face",
    per_device_train_batch_size=64,
    num_train_epochs=2,
    learning_rate=3e-3,
    lr_scheduler_type="cosine",
    logging_steps=20,
    save_strategy="no",
    report_to=[],
    disable_tqdm=True,
    use_cpu=True,
)
job = muster.init()
trainer = Trainer(model, arguments, train_dataset=Palindromes(8192))
muster.hugging_face.attach(trainer, job)  # this line and the one that makes the job are Muster's
trainer.train()

if job.rank == 0:
    model.eval()
    texts = Palindromes(512).texts
    with torch.no_grad():
        found = model(texts[:, :-1]).logits.argmax(2)[:, LENGTH - 1 :]
    accuracy = (found == texts[:, LENGTH:]).float().mean().item()
    job.report(accuracy=accuracy)
    print(f"accuracy {accuracy:.3f} after {job.step} steps")
