"""Labelled faces in memory-mapped files that every process reads its batches from, and the order of an epoch."""
import csv
import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, DistributedSampler

import changes
import processes
from changes import CANVAS, SIDE

EXPRESSIONS = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
COLUMNS = 12  # of FER+'s label.csv: name, box, ten votes; the last two of them are `unknown` and `NF`
# FER2013's numbers (angry, disgust, fear, happy, sad, surprise, neutral) in FER+'s order, which has contempt behind them.
LABELS = [4, 5, 6, 1, 3, 2, 0]
HELD_BACK = 20  # every twentieth training picture calibrates the packed model, as in `cargo pkg train`
PEOPLE = 10     # every tenth person of a further set is held back, to answer for it
WIDE = 1.3      # how much wider than a face's box the crops of mux_train.npz are
# AffectNet's numbers; 8 to 10 are none, uncertain and no face.
AFFECTNET = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"]
AFFECTNET_LABELS = 11
AGREE = 0.4     # FER2013's labels are FER+'s majority on 63 % of the pictures; on fewer than this they are in another order
ENOUGH = 50     # pictures to say that of


class Faces(Dataset):
    """Pictures u8 [n, 64, 64] on disk and, in memory, `votes` [n, 8] that add up to 1, `labels` [n, 7] of FER2013, 0 where a picture
    is not in that set, and `further`: 1 for pictures of other sets than FER+."""

    def __init__(self, parts, votes, labels, further):
        self.parts, self.votes, self.labels, self.further = parts, votes, labels, further
        self.majority = votes.argmax(1)
        self.starts = np.cumsum([0, *map(len, parts)])

    def __len__(self):
        return len(self.votes)

    def __add__(self, other):
        joined = (np.concatenate([getattr(each, name) for each in (self, other)]) for name in ("votes", "labels", "further"))
        return Faces(self.parts + other.parts, *joined)

    def pictures(self, places):
        """u8 [n, 64, 64]."""
        found = np.empty((len(places), CANVAS, CANVAS), np.uint8)
        of = np.searchsorted(self.starts, places, "right") - 1
        for index, part in enumerate(self.parts):
            found[of == index] = part[places[of == index] - self.starts[index]]
        return torch.from_numpy(found)

    def plain(self, start, end, device):
        """Pictures as they are, 0 to 1, [n, 1, 48, 48]."""
        return changes.plain(self.pictures(np.arange(start, min(end, len(self)))).to(device))


def keep(place, count, rows, further=False):
    """Writes rows, each a picture u8 [64, 64], votes and labels, behind one another, if they were not yet; gives their Faces."""
    pictures, table = place.with_suffix(".npy"), place.with_suffix(".npz")
    if processes.is_first() and not table.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(".part")
        kept = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (count, CANVAS, CANVAS))
        votes, labels = np.zeros((count, len(EXPRESSIONS)), np.float32), np.zeros((count, len(LABELS)), np.float32)
        for index, row in enumerate(rows):
            kept[index], votes[index], labels[index] = row
        kept.flush()
        os.replace(unfinished, pictures)
        with open(unfinished, "wb") as file:
            np.savez(file, votes=votes / votes.sum(1, keepdims=True), labels=labels)
        os.replace(unfinished, table)
    processes.wait()
    with np.load(table) as kept:
        return Faces([np.load(pictures, "r")], kept["votes"], kept["labels"], np.full(len(kept["votes"]), further, np.float32))


def canvas(picture, wide):
    """A square picture, `wide` times as wide as its face, as it is kept: with a border of its outermost pixels."""
    side = round(SIDE * wide)
    if picture.size != (side, side):
        picture = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
    border = CANVAS - side
    return np.pad(np.asarray(picture.convert("L")), (border // 2, border - border // 2), "edge")


def read_ferplus(folder, fer2013, place, limit=None):
    """FER+'s training part without the held-back pictures, and its validation part."""
    parts = []
    for name, usage in (("FER2013Train", "Training"), ("FER2013Valid", "PublicTest")):
        listed = list_votes(Path(folder) / name)
        if usage == "Training":
            listed = [row for index, row in enumerate(listed) if index % HELD_BACK]
        listed = listed[:limit]

        def rows():
            labels = read_labels(fer2013, usage)
            for path, votes in listed:
                picture = open_picture(path)
                yield canvas(picture, 1), votes, labels.get(picture.tobytes(), np.zeros(len(LABELS)))

        parts.append(keep(place / name, len(listed), rows()))
        check_agreement(parts[-1], fer2013)
    return parts


def list_votes(folder):
    """Picture and votes of every row whose most frequent vote, the first of equals, is an expression."""
    listed = []
    with open(folder / "label.csv", newline="") as table:
        for number, row in enumerate(csv.reader(table), 1):
            try:
                votes = [float(vote) for vote in row[2:]]
                if len(row) != COLUMNS or min(votes) < 0:
                    raise ValueError
            except ValueError:
                raise SystemExit(f"row {number} of {folder / 'label.csv'} is not a name, a box and ten numbers of votes") from None
            if max(votes) > 0 and votes.index(max(votes)) < len(EXPRESSIONS):
                listed.append((folder / row[0], votes[:len(EXPRESSIONS)]))
    return listed


def open_picture(path):
    try:
        return Image.open(path).convert("L")
    except OSError as error:
        raise SystemExit(f"{path} is missing or no picture: {error}") from None


def read_labels(file, usage):
    """FER2013's labels of each picture of a part, by its pixels. One that stands there several times has the mean of its labels, as
    in `cargo pkg train`."""
    labels = {}
    with open(file, newline="") as table:
        for row in csv.DictReader(table):
            if row["Usage"] == usage:
                found = labels.setdefault(np.array(row["pixels"].split(), np.uint8).tobytes(), np.zeros(len(LABELS)))
                found[LABELS[int(row["emotion"])]] += 1
    return {picture: found / found.sum() for picture, found in labels.items()}


def check_agreement(faces, file):
    """Refuses labels in another order than FER2013's."""
    known = faces.labels.any(1)
    if not known.any():
        raise SystemExit(f"none of FER+'s pictures stands in {file}")
    agreeing = (faces.labels.argmax(1) == faces.majority)[known].mean()
    if agreeing < AGREE and known.sum() >= ENOUGH:
        raise SystemExit(f"{file} says of {known.sum()} of FER+'s pictures what they show, and agrees with the votes on {agreeing:.0%} of "
                         "them: 0 to 6 have to be angry, disgust, fear, happy, sad, surprise and neutral")


class FurtherSet:
    """Faces with rough labels, `mux:FILE`, `folders:FOLDER` or `affectnet:FOLDER`: teachers say what they show. A picture with two
    labels is half of each; a held-back one with two is not counted."""

    def __init__(self, named):
        self.named = named
        kind, _, path = named.partition(":")
        self.path = Path(path)
        readers = {"mux": self._open_table, "folders": self._list_folders, "affectnet": self._list_affectnet}
        if kind not in readers or not path:
            raise SystemExit(f"{named}: mux:FILE, folders:FOLDER or affectnet:FOLDER can be read")
        readers[kind]()
        unlabelled = np.flatnonzero(~self.votes.any(1))
        if len(unlabelled):
            raise SystemExit(f"{named}: picture {unlabelled[0]} has no label, and {len(unlabelled) - 1} more have none")
        self.held_back = np.isin(self.person, np.unique(self.person)[::PEOPLE])

    def _open_table(self):
        if not zipfile.is_zipfile(self.path):
            raise SystemExit(f"{self.named}: there is no table of that name")
        with np.load(self.path) as table:
            missing = {"images", "labels", "label_names", "person"} - set(table)
            if missing:
                raise SystemExit(f"{self.named} has no array `{min(missing)}`")
            names, votes, self.person = [str(name) for name in table["label_names"]], table["labels"], table["person"]
        with zipfile.ZipFile(self.path) as table, table.open("images.npy") as images:
            (count, *size), kind = read_header(images)
        self._check_names(names)
        if votes.shape != (count, len(names)) or self.person.shape != (count,) or len(set(size)) != 1 or kind != np.uint8:
            raise SystemExit(f"{self.named}: {count} images {size} {kind}, labels {votes.shape} of {len(names)} names and persons "
                             f"{self.person.shape} don't belong together")
        self.votes = np.zeros((count, len(EXPRESSIONS)), np.float32)
        self.votes[:, [EXPRESSIONS.index(name) for name in names]] = votes

    def _list_folders(self):
        folders = sorted(each for each in self.path.iterdir() if each.is_dir()) if self.path.is_dir() else []
        if not folders:
            raise SystemExit(f"{self.named}: there are no folders, one an expression, in it")
        self._check_names([folder.name for folder in folders])
        files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
        self._take_files(files, [file.parent.name for file in files])

    def _list_affectnet(self):
        """`train_set/images/ID.jpg` with `train_set/annotations/ID_exp.npy`, one number or its digits; those without an expression are
        left out."""
        part = self.path / "train_set"
        files, names = [], []
        for file in sorted((part / "annotations").glob("*_exp.npy")):
            try:
                label = float(np.load(file).item())
                if label not in range(AFFECTNET_LABELS):
                    raise ValueError
            except (OSError, ValueError):
                raise SystemExit(f"{file} is not a label of AffectNet's, one number from 0 to {AFFECTNET_LABELS - 1}") from None
            if label < len(AFFECTNET):
                files.append(part / "images" / f"{file.name.removesuffix('_exp.npy')}.jpg")
                names.append(AFFECTNET[int(label)])
        if not files:
            raise SystemExit(f"{self.named}: there are no labels in train_set/annotations, ID_exp.npy for each train_set/images/ID.jpg")
        self._take_files(files, names)

    def _take_files(self, files, names):
        self.files = files
        self.votes = np.eye(len(EXPRESSIONS), dtype=np.float32)[[EXPRESSIONS.index(name) for name in names]]
        # Of files nobody says who is on them.
        self.person = np.arange(len(files))

    def _check_names(self, names):
        foreign = [name for name in names if name not in EXPRESSIONS]
        if foreign or len(set(names)) != len(names):
            raise SystemExit(f"{self.named}: its labels are {', '.join(names)}; {', '.join(EXPRESSIONS)} were expected, by these names")

    def _pictures(self, wanted):
        """Pictures as they are kept, one after the other: a set may be larger than memory."""
        if hasattr(self, "files"):
            yield from (canvas(open_picture(self.files[index]), 1) for index in wanted)
            return
        wanted = set(wanted.tolist())
        with zipfile.ZipFile(self.path) as table, table.open("images.npy") as images:
            (count, *size), _ = read_header(images)
            for index in range(count):
                levels = images.read(size[0] * size[1])
                if index in wanted:
                    yield canvas(Image.frombytes("L", size, levels), WIDE)

    def read(self, place, limit=None):
        """Its faces to learn from, and those of the held-back people."""
        parts, none = [], np.zeros(len(LABELS))
        for name, wanted in (("training", ~self.held_back), ("held-back", self.held_back)):
            wanted = np.flatnonzero(wanted)[:limit]
            rows = ((picture, self.votes[index], none) for index, picture in zip(wanted, self._pictures(wanted)))
            parts.append(keep(place / f"{self.path.stem}-{name}", len(wanted), rows, further=True))
        return parts


def read_header(file):
    """Shape and kind of an array whose values come next."""
    version = np.lib.format.read_magic(file)
    shape, by_columns, kind = (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    if by_columns:
        raise SystemExit("pictures that are stored by columns can't be read one by one; save them with numpy.ascontiguousarray")
    return shape, kind


class Epoch(Dataset):
    """What an epoch shows: places drawn anew each time, with the one that each is blended with, by which share, and the key that
    its changes are drawn from. All of it follows from seed and epoch."""

    def __init__(self, faces, balance, mixup, seed):
        self.faces, self.balance, self.mixup, self.seed = faces, balance, mixup, seed
        self.begin(0)

    def begin(self, epoch):
        random = np.random.default_rng([self.seed, epoch])
        self.order = order(self.faces, self.balance, random)
        shares = random.beta(self.mixup, self.mixup, len(self.order)) if self.mixup else np.ones(len(self.order))
        self.shares = np.maximum(shares, 1 - shares).astype(np.float32)
        self.keys = random.integers(2**62, size=len(self.order))

    def __len__(self):
        return len(self.order)

    def __getitems__(self, places):
        """A whole batch."""
        places = np.array(places)
        both = np.concatenate([places, (places + 1) % len(self)])
        batch = {"pictures": self.faces.pictures(self.order[both]), "keys": torch.from_numpy(self.keys[both]),
                 "shares": torch.from_numpy(self.shares[places])}
        for name in ("votes", "labels", "further"):
            batch[name] = torch.from_numpy(getattr(self.faces, name)[self.order[both]])
        return batch


def loader(epoch, batch, seed, workers, pinned):
    """This process's part of every batch."""
    sampler = DistributedSampler(epoch, processes.count(), processes.rank(), seed=seed, drop_last=True)
    return DataLoader(epoch, batch // processes.count(), sampler=sampler, num_workers=workers, pin_memory=pinned, drop_last=True,
                      collate_fn=lambda items: items)


def order(faces, balance, random):
    """Places of one epoch: FER+'s classes drawn with their size to the power of 1 - balance, all other faces once."""
    own = faces.further == 0
    classes = [np.flatnonzero(own & (faces.majority == expression)) for expression in range(len(EXPRESSIONS))]
    classes = [members for members in classes if len(members)]
    weights = np.array([len(members) ** (1 - balance) for members in classes])
    drawn = [np.flatnonzero(~own)]
    for members, weight in zip(classes, weights / weights.sum()):
        count = round(own.sum() * weight)
        turns = [random.permutation(members) for _ in range(-(-count // len(members)))]
        drawn += turns and [np.concatenate(turns)[:count]]
    return random.permutation(np.concatenate(drawn))
