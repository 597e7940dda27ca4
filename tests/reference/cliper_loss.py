"""CLIPER's loss in PyTorch, for the scripts that write fixtures with it.

Not run by itself. Used: torch 2.15.0.
"""
import torch
from torch.nn import functional as F


def margin(s, y):
    """Cross-entropy per sample of [the worst own descriptor, the best of each other class]."""
    own = F.one_hot(y, s.shape[1]).bool()
    z = torch.where(own, s.min(2).values, s.max(2).values)
    return F.cross_entropy(z, y, reduction="none")


def fine(s, y):
    """Cross-entropy per sample of the best own descriptor against all descriptors of the other classes."""
    rows = []
    for i, c in enumerate(y.tolist()):
        others = torch.cat([s[i, :c], s[i, c + 1:]]).flatten()
        logits = torch.cat([s[i, c].max().view(1), others])
        rows.append(-F.log_softmax(logits, 0)[0])
    return torch.stack(rows)


def balance(s, y):
    """alpha: a sample whose own best descriptor is a common one in its class weighs differently from a rare one's."""
    best = s[torch.arange(len(y)), y].argmax(1)
    counts = torch.zeros(s.shape[1:], dtype=s.dtype)
    for c, k in zip(y.tolist(), best.tolist()):
        counts[c, k] += 1
    n = torch.where(counts == 0, torch.full_like(counts, -1 / 99), counts)[y]
    chosen = best.view(-1, 1)
    alpha = n.sum(1) * (1 / n).softmax(1).gather(1, chosen)[:, 0] / n.gather(1, chosen)[:, 0]
    return alpha, best, counts


def total(s, y):
    """The whole loss and its alpha; s [batch, classes, descriptors], similarities over the temperature."""
    with torch.no_grad():
        alpha, _, _ = balance(s, y)
    return margin(s, y).mean() + (alpha * fine(s, y)).mean(), alpha
