"""FER+ pictures with their votes and FER2013's labels, as tensors on the device that trains."""
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIDE = 48
EXPRESSIONS = 8  # of FER+'s ten columns; the last two are `unknown` and `NF`
# FER2013's numbers (angry, disgust, fear, happy, sad, surprise, neutral) in FER+'s order, which has contempt behind them.
LABELS = [4, 5, 6, 1, 3, 2, 0]
HELD_BACK = 20  # every twentieth training picture calibrates the packed model, as in `cargo pkg train`


class Faces:
    """A part of FER+: `pictures` u8 [n, 48, 48], `votes` [n, 8] adding up to 1, `majority` [n], `labels` [n, 7] of FER2013:
    one 1 a row, or none where the picture is not in that set."""

    def __init__(self, rows, labels, device):
        self.pictures = torch.from_numpy(np.stack([picture for picture, _ in rows])).to(device)
        votes = torch.tensor([votes[:EXPRESSIONS] for _, votes in rows])
        self.majority = votes.argmax(1).to(device)
        self.votes = (votes / votes.sum(1, keepdim=True)).to(device)
        known = torch.tensor([labels.get(picture.tobytes(), -1) for picture, _ in rows])
        self.labels = (torch.arange(len(LABELS)) == known[:, None]).float().to(device)

    def __len__(self):
        return len(self.pictures)

    def plain(self, start, end):
        """Pictures as they are, 0 to 1, [n, 1, 48, 48]."""
        return self.pictures[start:end, None].float() / 255


def read(ferplus, fer2013, device, limit=None):
    """The training part without the held-back pictures, and the validation part."""
    parts = []
    for folder, usage in (("FER2013Train", "Training"), ("FER2013Valid", "PublicTest")):
        rows = read_votes(Path(ferplus) / folder)
        if usage == "Training":
            rows = [row for index, row in enumerate(rows) if index % HELD_BACK]
        parts.append(Faces(rows[:limit], read_labels(fer2013, usage), device))
    return parts


def read_votes(folder):
    """Pictures and votes of every row whose most frequent vote, the first of equals, is an expression."""
    rows = []
    with open(folder / "label.csv", newline="") as table:
        for name, _, *votes in csv.reader(table):
            votes = [float(vote) for vote in votes]
            if max(votes) > 0 and votes.index(max(votes)) < EXPRESSIONS:
                rows.append((np.asarray(Image.open(folder / name).convert("L")), votes))
    return rows


def read_labels(file, usage):
    """FER2013's label of each picture of a part, by its pixels."""
    labels = {}
    with open(file, newline="") as table:
        for row in csv.DictReader(table):
            if row["Usage"] == usage:
                labels[np.array(row["pixels"].split(), np.uint8).tobytes()] = LABELS[int(row["emotion"])]
    return labels


def order(faces, balance, random):
    """Indices of one epoch: classes drawn with their size to the power of 1 - balance."""
    majority = faces.majority.cpu().numpy()
    classes = [np.flatnonzero(majority == expression) for expression in range(EXPRESSIONS)]
    classes = [members for members in classes if len(members)]
    weights = np.array([len(members) ** (1 - balance) for members in classes])
    drawn = []
    for members, weight in zip(classes, weights / weights.sum()):
        count = round(len(faces) * weight)
        turns = [random.permutation(members) for _ in range(-(-count // len(members)))]
        drawn += turns and [np.concatenate(turns)[:count]]
    return random.permutation(np.concatenate(drawn))
