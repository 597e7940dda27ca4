"""One loop for teachers and students: batches, a step, averaged weights, the validation part's figures, a checkpoint each epoch."""
import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import processes
from changes import blend, change
from faces import EXPRESSIONS, Epoch, loader
from optimizers import AdamW, Muon

AVERAGING = 0.998    # of the averaged weights from step to step
VOTES, LABELS = 12.0, 4.0  # weights of the two cross-entropies
LARGEST = 26.0       # norm that gradients are cut to
TOLD = 10.0          # seconds between lines


@dataclass
class Settings:
    """What every net that is trained here shares."""

    device: torch.device
    seed: int = 1
    # Of autocast; f32 is none.
    kind: torch.dtype = torch.bfloat16
    # How far the classes are evened out.
    balance: float = 0.15
    # Shares of blended pictures come from Beta(mixup, mixup).
    mixup: float = 0.2
    # Changes beyond those of augment.rs.
    changes: dict | None = None
    # Processes that read batches ahead, beside each one that trains.
    workers: int = 0

    def autocast(self):
        return torch.autocast(self.device.type, self.kind, enabled=self.kind != torch.float32, cache_enabled=False)


def cross_entropy(logits, targets):
    return -(F.log_softmax(logits.float(), 1) * targets).sum(1).mean()


def optimizers(net, rate, decay, kind, by_hand=(), muon=True, scale=1.0):
    """Muon for convolutions but the first and for the blocks' matrices, AdamW for the rest; only matrices decay.

    kind: of Muon's numbers
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
    return [Muon(matrices, rate, decay, kind)] * bool(matrices) + [group for group in groups if group.parameters]


def fit(net, make_optimizers, loss, training, validation, epochs, batch, rate, place, settings, warm=0.02, clipped=None):
    """Trains a net, and gives its averaged weights and what the validation part said after every epoch. Goes on after the last epoch
    that `place` holds: the same to the bit as a run that was never stopped, on the same number of processes.

    make_optimizers: from the rate's tensor
    loss: of the trained net, changed faces, votes, labels, shares of other sets, and the share of the schedule that is left: the two
    cross-entropies and a third term
    clipped: the part whose gradients are cut; all of it
    """
    device = settings.device
    net.to(device, memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(net).eval()
    trained = processes.shared(net)
    pairs = [(mean, value) for mean, value in zip(averaged.state_dict().values(), net.state_dict().values())
             if value.is_floating_point()]
    # What a captured step reads anew each time.
    speed, left, kept = (torch.zeros((), device=device) for _ in range(3))
    sums, movers = torch.zeros(3, device=device), make_optimizers(speed)
    moved = [each for mover in movers for each in mover.parameters]
    epoch_pictures = Epoch(training, settings.balance, settings.mixup, settings.seed)
    batch = min(batch, len(epoch_pictures) // processes.count() * processes.count())
    batches = loader(epoch_pictures, batch, settings.seed, settings.workers, device.type == "cuda")

    def step(given):
        changed = change(given["pictures"], given["keys"], settings.changes).chunk(2)
        shares = given["shares"]
        faces, votes, labels, further = (blend(*both, shares) for both in
                                         (changed, *(given[name].chunk(2) for name in ("votes", "labels", "further"))))
        by_votes, by_labels, other = loss(trained, faces, votes, labels, further, left)
        for each in moved:
            each.grad = None
        (VOTES * by_votes + LABELS * by_labels + other).backward()
        nn.utils.clip_grad_norm_((clipped or net).parameters(), LARGEST, foreach=True)
        for mover in movers:
            mover.step()
        with torch.no_grad():
            for mean, value in pairs:
                mean.lerp_(value, 1 - kept)
            sums.add_(torch.stack([by_votes.detach(), by_labels.detach(), torch.ones((), device=device)]))

    run, steps = None, max(1, epochs * len(batches))
    history = restore(place, net, averaged, movers, epochs)
    begun, told, done = time.time(), time.time(), len(history) * len(batches)
    for epoch in range(len(history) + 1, epochs + 1):
        epoch_pictures.begin(epoch)
        batches.sampler.set_epoch(epoch)
        begin_draws(settings.seed, epoch)
        since, sent = time.time(), 0
        for given in batches:
            done, sent = done + 1, sent + 1
            given = {name: value.to(device, non_blocking=True) for name, value in given.items()}
            if run is None:
                # DistributedDataParallel is not captured.
                run = capture(step, given, net, averaged, movers, sums) if device.type == "cuda" and processes.count() == 1 else step
                begin_draws(settings.seed, epoch)
            left.fill_(0.5 + 0.5 * math.cos(math.pi * (done - 1) / steps))
            speed.copy_(left * rate * min(1.0, done / (steps * warm)))
            kept.fill_(min(AVERAGING, (done - 1) / (done + 49)))
            run(given)
            if time.time() - told > TOLD:
                told = time.time()
                each = (told - since) / sent
                processes.say(f"epoch {epoch} of {epochs}: {sent} of {len(batches)} steps, {batch / each:.0f} pictures a second, "
                              f"{each * (steps - done) / 60:.1f} minutes left")
        votes, labels, count = processes.add_up(sums).tolist()
        sums.zero_()
        found = measure(averaged, validation, settings)
        loss_now = (VOTES * votes + LABELS * labels) / count
        if not math.isfinite(loss_now):
            raise SystemExit(f"the loss is {loss_now} in epoch {epoch}: try a lower rate")
        history.append({"epoch": epoch, "loss": loss_now, "seconds": time.time() - since, "war": found.war, "uar": found.uar})
        save(place, net, averaged, movers, history)
        told = time.time()
        processes.say(f"epoch {epoch} of {epochs}: loss {loss_now:.3f}, validation WAR {found.war:.2%} UAR {found.uar:.2%}, "
                      f"{len(batches) * batch / (told - since):.0f} pictures a second, {(told - begun) / 60:.1f} minutes so far")
    return averaged, history


def begin_draws(seed, epoch):
    """What PyTorch draws by itself (dropout) follows from the epoch too."""
    torch.manual_seed(seed * 1_000_003 + epoch * processes.count() + processes.rank())


def save(place, net, averaged, movers, history):
    """Puts a checkpoint in the old one's place; whoever is stopped meanwhile leaves one of the two."""
    if processes.is_first():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(".part")
        with open(unfinished, "wb") as file:
            torch.save({"net": net.state_dict(), "averaged": averaged.state_dict(), "optimizers": [each.state() for each in movers],
                        "history": history}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, place)
    # Nobody is an epoch ahead of what is on disk.
    processes.wait()


def restore(place, net, averaged, movers, epochs):
    """Takes up where a checkpoint left off, and gives its history."""
    if not Path(place).is_file():
        return []
    try:
        kept = torch.load(place, "cpu", weights_only=True)
        net.load_state_dict(kept["net"])
        averaged.load_state_dict(kept["averaged"])
    except Exception as error:
        raise SystemExit(f"{place} is no checkpoint of this run, or damaged: {error}; delete it to train this part again") from None
    for mover, state in zip(movers, kept["optimizers"]):
        for value, before in zip(mover.state(), state):
            value.copy_(before)
    history = kept["history"]
    processes.say(f"{Path(place).stem}: going on after epoch {len(history)} of {epochs}")
    return history


def capture(step, given, net, averaged, movers, sums):
    """The step as a CUDA graph: its thousand small kernels are launched at once. It is tried at a rate of 0 first, after
    which everything that it moved is put back."""
    given = {name: value.clone() for name, value in given.items()}
    moved = [sums, *net.state_dict().values(), *averaged.state_dict().values(), *(each for mover in movers for each in mover.state())]
    before = [each.clone() for each in moved]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(given)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(given)
    for value, old in zip(moved, before):
        value.copy_(old)

    def run(batch):
        for name, value in given.items():
            value.copy_(batch[name])
        graph.replay()

    return run


@dataclass
class Measured:
    """Right answers: `confusion` [8, 8], a row for each expression that is shown."""

    confusion: torch.Tensor

    @property
    def war(self):
        return (self.confusion.diag().sum() / self.confusion.sum()).item()

    @property
    def recalls(self):
        """Of each expression that is shown at all, with how often that is."""
        shown = self.confusion.sum(1)
        return {name: (right / count, int(count)) for name, right, count in
                zip(EXPRESSIONS, self.confusion.diag().tolist(), shown.tolist()) if count}

    @property
    def uar(self):
        return sum(recall for recall, _ in self.recalls.values()) / len(self.recalls)


@torch.no_grad()
def measure(net, faces, settings, batch=512):
    """Answers against the majority of the votes, where one has most of them; all of FER+'s, whose first one counts."""
    confusion = torch.zeros(len(EXPRESSIONS), len(EXPRESSIONS))
    sure = (faces.further == 0) | ((faces.votes == faces.votes.max(1, keepdims=True)).sum(1) == 1)
    for start in range(processes.rank() * batch, len(faces), processes.count() * batch):
        with settings.autocast():
            answers = net(faces.plain(start, start + batch, settings.device))[0].argmax(1).cpu()
        chosen = torch.from_numpy(sure[start:start + batch])
        shown = torch.from_numpy(faces.majority[start:start + batch])
        confusion.index_put_((shown[chosen], answers[chosen]), torch.ones(int(chosen.sum())), accumulate=True)
    return Measured(processes.add_up(confusion.to(settings.device)).cpu())
