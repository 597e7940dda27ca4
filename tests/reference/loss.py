"""Writes fixture loss: CLIPER's training loss and its gradient on seeded similarities, hard labels and vote distributions.

Run: python tests/reference/loss.py
Used: torch 2.15.0, safetensors 0.8.0.
"""
import torch
from torch.nn import functional as F

from cliper_loss import balance, fine, margin
from fixture import folder, normal, save

NOTE = """
`expected.safetensors`, computed in f64 from f32 inputs. Inputs: `s` [12,8,5] (cosines over the temperature), `labels` [12],
`votes` [12,8]. Outputs: `best` [12] (own descriptor of the highest s), `counts` [8,5] (true counts, zeros as zeros),
`alpha`, `margin`, `fine` [12], `margin_by_class` [12,8] (the margin term as if each class were the true one),
`total`, `gradient`, `soft_total`, `soft_gradient`.
total = mean(margin) + mean(alpha * fine); soft_total = mean(sum_c votes * margin_by_class) + mean(alpha * fine).
alpha is a constant in the gradient; a count of 0 stands as -1/99 in both the softmax and the sum of alpha.
Class 1 uses all of its descriptors, class 0 one of them, class 2 two, class 5 one (a single sample); classes 3, 4, 6, 7 have no sample.
"""
B, C, K = 12, 8, 5


generator = torch.Generator().manual_seed(4)
labels = torch.tensor([1, 0, 2, 1, 1, 5, 0, 1, 2, 1, 0, 1])
wanted = torch.tensor([0, 3, 1, 2, 1, 4, 3, 4, 0, 3, 3, 2])
s = normal((B, C, K), generator, 2.0)
rows = torch.arange(B)
own = s[rows, labels]
s[rows, labels, wanted] = own.max(1).values + torch.rand(B, generator=generator) + 0.25
s[rows[::2], labels[::2]] += 2.0
votes = torch.rand((B, C), generator=generator)
votes = torch.where(votes < 0.5, torch.zeros_like(votes), votes - 0.4)
votes[rows, labels] = votes.max(1).values + 0.2
votes = (votes.double() / votes.double().sum(1, keepdim=True)).float()
votes[0] = F.one_hot(labels[0], C).float()
assert torch.equal(votes.argmax(1), labels)

x = s.double().requires_grad_()
with torch.no_grad():
    alpha, best, counts = balance(x, labels)
assert torch.equal(best, wanted)
hard, detail = margin(x, labels), fine(x, labels)
by_class = torch.stack([margin(x, torch.full_like(labels, c)) for c in range(C)], 1)
total = hard.mean() + (alpha * detail).mean()
soft_total = (votes.double() * by_class).sum(1).mean() + (alpha * detail).mean()
(gradient,) = torch.autograd.grad(total, x, retain_graph=True)
(soft_gradient,) = torch.autograd.grad(soft_total, x)
save(
    folder("loss", __file__, NOTE) / "expected.safetensors",
    {
        "s": s, "labels": labels, "votes": votes, "best": best, "counts": counts, "alpha": alpha, "margin": hard,
        "margin_by_class": by_class, "fine": detail, "total": total.view(1), "gradient": gradient,
        "soft_total": soft_total.view(1), "soft_gradient": soft_gradient,
    },
)
