"""Whether evidence can be made local by training what comes behind the stem: where sums lie before and after, and where covering does.

    python3 tests/bench/scripts/locality.py FACES.npz [--hide 2] [--epochs 3]

FACES.npz: `images` u8 [N, 48, 48], `votes` [N, 10] in FER+'s columns, `usage` 0 (training) or 1 (validation). The block behind the stem
learns to keep each face's embedding and scores, and to have a descriptor's positive evidence in the half of the face that it names; with
--hide, also to keep its similarity where the other half's patches are hidden. Nothing is written. Needs numpy, torch and safetensors;
about 25 minutes on one core.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, "pkg-build/training-gpu")
from nets import Cliper  # noqa: E402
from runs import Start  # noqa: E402

BUNDLE = Path("pkg-build/models/ferplus-small")
UPPER, LOWER = ("brow", "eye"), ("jaw", "mouth")
GRID = 6
COVERED = 128  # validation faces that are covered cell by cell
CLEAR = 5      # votes of ten that agree, as `evaluate --evidence` asks for


def main():
    asked = argparse.ArgumentParser()
    asked.add_argument("faces")
    asked.add_argument("--hide", type=float, default=0, help="weight of similarities kept with the other half hidden")
    asked.add_argument("--epochs", type=int, default=3)
    asked = asked.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    start, table = Start(BUNDLE), np.load(asked.faces)
    expressions = json.loads((BUNDLE / "model.json").read_text())["expressions"]
    own, learned = Encoder(start, expressions), Encoder(start, expressions)
    training, valid = (Part(table, usage) for usage in (0, 1))
    tokens = own.tokens(training.pictures)
    seen, covered = own.tokens(valid.pictures), own.covered(valid.pictures[valid.clear][:COVERED])
    own.report("as it is", seen, covered, valid)
    for epoch in range(asked.epochs):
        train(own, learned, tokens, asked.hide, (epoch, asked.epochs))
        learned.report(f"epoch {epoch + 1}", seen, covered, valid)


class Part:
    def __init__(self, table, usage):
        votes = table["votes"]
        kept = (table["usage"] == usage) & (votes.max(1) > 0) & (votes.argmax(1) < 8)
        self.pictures = torch.from_numpy(table["images"][kept]).float()[:, None] / 255
        self.majority, self.clear = torch.from_numpy(votes[kept].argmax(1)), torch.from_numpy(votes[kept].max(1) >= CLEAR)


class Encoder:
    """The bundle's encoder, and which half of the face each of its descriptors names: 1 the upper, -1 the lower, 0 neither alone."""

    def __init__(self, start, expressions):
        self.net = Cliper(start.encoder, [each.embeddings for each in start.texts], start.temperatures)
        start.fill(self.net)
        self.biases = start.biases(self.net)
        self.descriptors = F.normalize(start.texts[0].embeddings, dim=1)
        named = [moved for each in expressions for moved in each.get("movements") or [{}] * len(each["descriptors"])]
        lies = lambda moved, parts: bool(moved) and all(name.startswith(parts) for name in moved)
        self.half = torch.tensor([lies(moved, UPPER) - lies(moved, LOWER) for moved in named])
        self.brows = torch.tensor([lies(moved, "brow") for moved in named])

    @torch.no_grad()
    def tokens(self, pictures):
        """What the stem makes of pictures [n, 1, 48, 48]: [n, 36, width]."""
        def one(maps):
            maps = self.net.see(maps)
            for convolution, bias in zip(self.net.stem[::3], self.biases):
                maps = torch.relu(convolution(maps) + bias.view(1, -1, 1, 1))
            return self.net.patches(maps.flatten(2).transpose(1, 2)).half()
        return torch.cat([one(each) for each in pictures.split(128)])

    def covered(self, pictures):
        """The tokens of pictures as they are, and with each cell in grey: [37, n, 36, width]."""
        side, looks = pictures.shape[-1] // GRID, [pictures]
        for row in range(GRID):
            for column in range(GRID):
                look = pictures.clone()
                look[..., row * side:(row + 1) * side, column * side:(column + 1) * side] = 0.5
                looks.append(look)
        return torch.stack([self.tokens(look) for look in looks])

    def __call__(self, tokens):
        """Unit embeddings [n, embedding], and each patch's part of each cosine [n, 36, descriptors], as src/evidence.rs has it."""
        net = self.net
        patches = net.blocks(net.before(tokens.float() + net.positions))
        pooled = patches.mean(1)
        whole = net.project(net.after(pooled))
        length = whole.norm(dim=1, keepdim=True)
        mean, deviation = pooled.mean(1), (pooled.var(1, unbiased=False) + net.after.eps).sqrt()
        normed = (patches - mean[:, None, None]) / deviation[:, None, None] * net.after.weight + net.after.bias
        return whole / length, net.project(normed) @ self.descriptors.T / (patches.shape[1] * length[:, None])

    def scores(self, embeddings):
        return (embeddings @ self.net.votes.T).unflatten(1, (8, -1)).mean(2)

    def share(self, variance):
        """Of variances [36, descriptors], what lies in the half that each descriptor names."""
        upper = variance[:GRID * GRID // 2].sum(0) / variance.sum(0).clamp(min=1e-12)
        return torch.where(self.half > 0, upper, 1 - upper)

    @torch.no_grad()
    def report(self, name, seen, covered, valid):
        answers = [self(tokens) for tokens in seen.split(512)]
        embeddings, parts = (torch.cat(each) for each in zip(*answers))
        best = self.scores(embeddings).argmax(1)
        recalls = [(best[valid.majority == each] == each).float().mean().item() for each in range(8)]
        similarities = torch.stack([self(tokens)[0] @ self.descriptors.T for tokens in covered])
        lost = (similarities[:1] - similarities[1:]).clamp(min=0)
        ways = {"sum": parts[valid.clear].clamp(min=0).var(0, unbiased=False), "occlusion": lost.var(1, unbiased=False)}
        print(f"{name}: WAR {(best == valid.majority).float().mean():.4f} UAR {np.mean(recalls):.4f}", end="")
        for way, variance in ways.items():
            share = self.share(variance)
            print(f"; {way}: mouth {share[self.half < 0].mean():.2f} brows {share[self.brows].mean():.2f}", end="")
        print(flush=True)


def train(own, learned, tokens, hide, epoch, batch=256, rate=5e-4):
    """One epoch; the rate falls as a cosine over all of them."""
    parameters = [each for name, each in learned.net.named_parameters() if not name.startswith(("stem", "patches"))]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0)
    average, steps = tokens.float().mean(0, keepdim=True), len(tokens) // batch
    for step, places in enumerate(torch.randperm(len(tokens))[:steps * batch].split(batch)):
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + np.cos(np.pi * (epoch[0] + step / steps) / epoch[1]))
        with torch.no_grad():
            wanted, _ = own(tokens[places])
        found, parts = learned(tokens[places])
        loss = 5 * (1 - (found * wanted).sum(1)).mean() + 100 * ((found - wanted) @ own.descriptors.T).square().mean()
        loss = loss - (F.log_softmax(learned.scores(found), 1) * own.scores(wanted).softmax(1)).sum(1).mean()
        loss = loss + (0.5 if hide else 1) * (1 - learned.share(parts.clamp(min=0).var(0, unbiased=False))[learned.half != 0]).mean()
        if hide:
            is_upper = bool(step % 2)
            part, kept = (slice(0, 18), learned.half < 0) if is_upper else (slice(18, 36), learned.half > 0)
            hidden = tokens[places].float()
            hidden[:, part] = average[:, part]
            whole = (found @ own.descriptors.T)[:, kept].detach()
            loss = loss + hide * ((learned(hidden)[0] @ own.descriptors.T)[:, kept] - whole).square().mean() / whole.var(0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
