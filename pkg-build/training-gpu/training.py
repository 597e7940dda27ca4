"""One loop for teachers and students: batches, a captured step, averaged weights, the validation part's figures."""
import copy
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from changes import blend, change
from faces import order
from optimizers import AdamW, Muon

MIX = 0.2            # shares of blended pictures come from Beta(MIX, MIX)
BALANCE = 0.15       # how far the classes are evened out
AVERAGING = 0.998    # of the averaged weights from step to step
VOTES, LABELS = 12.0, 4.0  # weights of the two cross-entropies
LARGEST = 26.0       # norm that gradients are cut to


def autocast(device):
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def cross_entropy(logits, targets):
    return -(F.log_softmax(logits.float(), 1) * targets).sum(1).mean()


def optimizers(net, rate, decay, by_hand=(), muon=True, scale=1.0):
    """Muon for convolutions but the first and for the blocks' matrices, AdamW for the rest; only matrices decay.

    by_hand: parts of the net that AdamW moves at the full rate while all else goes at `scale`
    """
    named = list(net.named_parameters())
    full = {id(each) for part in by_hand for each in part.parameters()}
    apart = ("positions", "patches", "project", "stem.0.")
    within = lambda name, each: each.dim() > 1 and len(each) > 1 and each[0].numel() > 9 and not name.startswith(apart)
    matrices = [each for name, each in named if muon and within(name, each) and id(each) not in full]
    moved = {id(each) for each in matrices} | full
    rest = [each for _, each in named if id(each) not in moved]
    groups = [AdamW([each for each in rest if each.dim() > 1], rate, decay, scale),
              AdamW([each for each in rest if each.dim() <= 1], rate, 0.0, scale),
              AdamW([each for _, each in named if id(each) in full], rate, decay)]
    return [Muon(matrices, rate, decay)] * bool(matrices) + [group for group in groups if group.parameters]


def fit(net, make_optimizers, loss, training, validation, epochs, batch, rate, warm=0.02, every=15.0, seed=1):
    """Trains a net, and gives its averaged weights and what the validation part said every `every` seconds.

    make_optimizers: from the rate's tensor
    loss: of changed faces, votes, labels and the share of the schedule that is left: the two cross-entropies and a third term
    """
    torch.manual_seed(seed)
    random, device = np.random.default_rng(seed), training.pictures.device
    net.to(device, memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(net).eval()
    pairs = [(mean, value) for mean, value in zip(averaged.state_dict().values(), net.state_dict().values())
             if value.is_floating_point()]
    # What a captured step reads anew each time.
    speed, left, kept = (torch.zeros((), device=device) for _ in range(3))
    indices, shares = torch.arange(batch, device=device) % len(training), torch.ones(batch, device=device)
    sums, movers = torch.zeros(3, device=device), make_optimizers(speed)
    moved = [each for mover in movers for each in mover.parameters]

    def step():
        faces = blend(change(training.pictures[indices]), shares)
        votes, labels = (blend(each[indices], shares) for each in (training.votes, training.labels))
        by_votes, by_labels, other = loss(net, faces, votes, labels, left)
        for each in moved:
            each.grad = None
        (VOTES * by_votes + LABELS * by_labels + other).backward()
        nn.utils.clip_grad_norm_(net.parameters(), LARGEST, foreach=True)
        for mover in movers:
            mover.step()
        with torch.no_grad():
            for mean, value in pairs:
                mean.lerp_(value, 1 - kept)
            sums.add_(torch.stack([by_votes.detach(), by_labels.detach(), torch.ones((), device=device)]))

    run = capture(step, net, sums) if device.type == "cuda" else step
    steps, an_epoch = max(1, epochs * len(training) // batch), len(training) / batch
    history, drawn, begun, told = [], np.zeros(0, int), time.time(), time.time()
    for done in range(1, steps + 1):
        while len(drawn) < batch:
            drawn = np.concatenate([drawn, order(training, BALANCE, random)])
        indices.copy_(torch.from_numpy(drawn[:batch]))
        drawn = drawn[batch:]
        mixed = random.beta(MIX, MIX, batch).astype(np.float32)
        shares.copy_(torch.from_numpy(np.maximum(mixed, 1 - mixed)))
        left.fill_(0.5 + 0.5 * math.cos(math.pi * (done - 1) / steps))
        speed.copy_(left * rate * min(1.0, done / (steps * warm)))
        kept.fill_(min(AVERAGING, (done - 1) / (done + 49)))
        run()
        if done == steps or time.time() - told > every:
            votes, labels, count = sums.tolist()
            sums.zero_()
            found = measure(averaged, validation)
            loss_now = (VOTES * votes + LABELS * labels) / count
            if not math.isfinite(loss_now):
                raise SystemExit(f"the loss is {loss_now} at step {done}: try a lower rate")
            history.append({"epoch": round(done / an_epoch), "loss": loss_now, "seconds": time.time() - told, **found})
            told = time.time()
            print(f"epoch {done / an_epoch:.1f} of {epochs}: loss {loss_now:.3f}, validation WAR {found['war']:.2%} "
                  f"UAR {found['uar']:.2%}, {done * batch / (told - begun):.0f} pictures a second", flush=True)
    return averaged, history


def capture(step, net, sums):
    """The step as a CUDA graph: its thousand small kernels are launched at once. It is tried at a rate of 0 first, after
    which the batch norms' statistics are put back."""
    before = copy.deepcopy(net.state_dict())
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    net.load_state_dict(before)
    sums.zero_()
    return graph.replay


@torch.no_grad()
def measure(net, faces, batch=512):
    """WAR and UAR of the majority of the votes."""
    with autocast(faces.pictures.device):
        answers = [net(faces.plain(start, start + batch))[0].argmax(1) for start in range(0, len(faces), batch)]
    right = (torch.cat(answers) == faces.majority).float()
    recalls = [right[faces.majority == each].mean() for each in faces.majority.unique()]
    return {"war": right.mean().item(), "uar": torch.stack(recalls).mean().item()}
