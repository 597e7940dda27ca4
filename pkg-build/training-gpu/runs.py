"""What a run starts from, a run of `cargo pkg train` or a bundle, and the folder that `cargo pkg pack` reads out."""
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from changes import CUT, GAMMA, LIGHT, MEAN, NOISE, SIDE, STD
from faces import EXPRESSIONS, LABELS

# What FER2013's labels are learned against where nothing else is named, as in `cargo pkg train`.
LABEL_TEXTS = Path(__file__).parents[1] / "descriptors/fer2013.safetensors"
# What the encoder of `nets.py` is, beside its sizes.
KIND = {"side": SIDE, "channels": 1, "patch": 1, "activation": "relu", "pool": "mean"}
# As src/train/augment.rs has it.
AUGMENT = {"flip": 0.5, "roll": 20.0, "scale": 0.2, "shift": 0.1, "light": LIGHT, "gamma": GAMMA, "blur": 1.0, "noise": NOISE * 255,
           "cut": CUT, "least": 0.0}
# Ours by CLIP's names; the three products of a block's attention are one of ours.
NAMES = {"patches.weight": "vision_model.embeddings.patch_embedding.weight",
         "positions": "vision_model.embeddings.position_embedding.weight",
         "before": "vision_model.pre_layrnorm", "after": "vision_model.post_layernorm",
         "project.weight": "visual_projection.weight"}
PARTS = {"norm1": "layer_norm1", "norm2": "layer_norm2", "out": "self_attn.out_proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}


class Start:
    """An encoder that was trained before: sizes, `weights` by CLIP's names, descriptors [n, width] of votes and labels and what
    their cosines are divided by. All of it is checked here; what does not fit ends the command with what would."""

    def __init__(self, folder):
        self.folder = folder
        if (folder / "model.json").is_file():
            self._read_bundle(read_json(folder / "model.json"))
        elif (folder / "state.json").is_file():
            self._read_run(read_json(folder / "state.json"))
        else:
            raise SystemExit(f"{folder} is nothing to start from: a bundle (it holds model.json) or a run of `cargo pkg train image` "
                             "(state.json) is")
        self._check_kind()

    def _read_bundle(self, manifest):
        self.origin = {name: manifest[name] for name in ("name", "licence", "provenance")}
        self.encoder, self.preprocess, self.backbone = (manifest[name] for name in ("encoder", "preprocess", "backbone"))
        for file in manifest["files"]:
            path = self.folder / file["path"]
            if file["role"] in ("weights", "descriptors", "labels"):
                if not path.is_file():
                    raise SystemExit(f"{path} is missing; it must lie beside model.json")
                if hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                    raise SystemExit(f"{path} is damaged: its sha256 is another than model.json says; fetch it again or pack the model "
                                     "again")
        self.weights = {}
        for file in manifest["files"]:
            if file["role"] == "weights":
                self.weights.update(read_tensors(self.folder / file["path"])[0])
        file = next(file["path"] for file in manifest["files"] if file["role"] == "descriptors")
        self.texts = [Texts(self.folder / file, self.backbone, EXPRESSIONS, manifest["expressions"], manifest.get("learned"))]
        self.temperatures = [manifest["calibration"]["temperature"]]
        sets = [each for each in manifest.get("labels", []) if each["name"] == "FER2013"]
        if sets:
            self.texts.append(Texts(self.folder / sets[0]["path"], self.backbone, EXPRESSIONS[:len(LABELS)], sets[0]["expressions"]))
            self.temperatures.append(sets[0]["calibration"]["temperature"])
        else:
            self._take_label_texts()

    def _read_run(self, state):
        stage = state.get("stage", "image")
        if stage != "image":
            raise SystemExit(f"{self.folder} is a run of the stage {stage}, which trains no encoder: pack it (cargo pkg pack --checkpoint "
                             f"{self.folder} --output BUNDLE) and start from the bundle")
        origin = self.folder / "origin.json"
        self.origin = read_json(origin) if origin.is_file() else None
        self.encoder, self.backbone, self.preprocess = state["encoder"], state["backbone"], state["config"]["preprocess"]
        self.weights, _ = read_tensors(self.folder / "averaged.safetensors")
        self.temperatures = [state["config"]["temperature"]]
        self.texts = [Texts(self.folder / "descriptors.safetensors", self.backbone, EXPRESSIONS)]
        own = self.folder / "auxiliary.safetensors"
        if own.is_file():
            self.texts.append(Texts(own, self.backbone, EXPRESSIONS[:len(LABELS)]))
            self.temperatures *= 2
        else:
            self._take_label_texts()

    def _take_label_texts(self):
        self.texts.append(Texts(LABEL_TEXTS, self.backbone, EXPRESSIONS[:len(LABELS)]))
        self.temperatures.append(0.05)

    def _check_kind(self):
        others = [f"{name} {self.encoder.get(name)}, not {value}" for name, value in KIND.items() if self.encoder.get(name) != value]
        if self.preprocess["mean"] != [MEAN] or self.preprocess["std"] != [STD]:
            others.append(f"pixels less {self.preprocess['mean']} over {self.preprocess['std']}, not {MEAN} over {STD}")
        if not self.encoder.get("stem"):
            others.append("no convolutional stem")
        if others:
            raise SystemExit(f"the encoder of {self.folder} is of another kind than this script trains: {'; '.join(others)}")

    @property
    def is_deployed(self):
        """Whether its batch norms went into its convolutions, as in bundles and in runs that started from one."""
        return not any(".norm." in name for name in self.weights)

    @property
    def fingerprint(self):
        """Of its weights."""
        values = hashlib.sha256()
        for name in sorted(self.weights):
            values.update(self.weights[name].numpy().tobytes())
        return values.hexdigest()[:16]

    @property
    def has_learned_texts(self):
        """Whether METD had a hand in its descriptors: what an expression's tell apart is to stay then."""
        stages, origin = [], self.origin
        while origin:
            stages.append(origin["provenance"].get("training", {}).get("stage"))
            origin = origin["provenance"].get("start")
        return "metd" in stages

    def fill(self, net):
        """Puts its weights into a Cliper, whose batch norms are still to be settled, or unfolded where it is deployed."""
        names = [name for name in net.state_dict() if not is_statistic(name) and not (self.is_deployed and is_norm(name))]
        missing = [each for name in names for each in clip_names(name) if each not in self.weights]
        if missing:
            raise SystemExit(f"{self.folder} holds no `{missing[0]}`: its weights belong to another encoder than it says")
        ours = {name: torch.cat([self.weights[each] for each in clip_names(name)]) for name in names}
        ours["patches.weight"] = ours["patches.weight"].flatten(1)
        ours["positions"] = ours["positions"][None]
        try:
            net.load_state_dict(ours, strict=False)
        except RuntimeError as error:
            raise SystemExit(f"the weights of {self.folder} belong to another encoder than it says: {error}") from None

    def biases(self, net):
        """Of each of the stem's convolutions, where it is deployed."""
        return [self.weights[f"vision_model.embeddings.stem.{stage}.convolution.bias"] for stage in range(len(net.stem) // 3)]

    def write(self, output, net, config, trained_on, history, distilled):
        """Writes `net` as a run that started from this; its state comes last, since `cargo pkg` takes a folder with one for a run.

        config: settings, by the names of `cargo pkg train image`'s; distilled: command and teachers, for model.json and the card
        """
        if (self.folder / "state.json").is_file():
            (output / "start").mkdir(exist_ok=True)
            for name in ("state.json", "trained-on.json", "origin.json"):
                if (self.folder / name).is_file():
                    shutil.copy(self.folder / name, output / "start")
            if (self.folder / "start").is_dir():
                shutil.copytree(self.folder / "start", output / "start/start", dirs_exist_ok=True)
        else:
            (output / "origin.json").write_text(json.dumps(self.origin, indent=2))
        for texts, name in zip(self.texts, ("descriptors", "auxiliary")):
            texts.write(output / f"{name}.safetensors")
        save_file(to_clip(net), output / "averaged.safetensors")
        save_file(to_clip(net, deployed=True), output / "best.safetensors")
        (output / "trained-on.json").write_text(json.dumps(trained_on, indent=2))
        config = {**config, "temperature": self.temperatures[0], "augment": AUGMENT, "preprocess": self.preprocess}
        state = {"stage": "image", "encoder": self.encoder, "config": config, "backbone": self.backbone, "step": 0, "history": history,
                 "distilled": distilled}
        unfinished = output / "state.part"
        unfinished.write_text(json.dumps(state, indent=2))
        os.replace(unfinished, output / "state.json")


class Texts:
    """Descriptors of a file: embeddings, and what they say."""

    def __init__(self, file, backbone, names, expressions=None, learned=None):
        tensors, self.metadata = read_tensors(file)
        if self.metadata.get("backbone") != backbone:
            raise SystemExit(f"{file} is of another joint space than the encoder; describe both by one text tower")
        if expressions is not None:
            self.metadata["expressions"] = json.dumps(expressions)
        if learned is not None:
            self.metadata["learned"] = json.dumps(learned)
        self.embeddings = tensors["embeddings"]
        expressions = json.loads(self.metadata.get("expressions", "[]"))
        found, counts = [each["name"] for each in expressions], {len(each["descriptors"]) for each in expressions}
        if found != names or len(counts) != 1 or len(self.embeddings) != len(names) * max(counts):
            raise SystemExit(f"{file} describes {', '.join(found) or 'nothing'}; {', '.join(names)}, each by as many texts, were expected")

    def write(self, file):
        save_file({"embeddings": self.embeddings}, file, self.metadata)


def read_json(file):
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise SystemExit(f"{file} can't be read: {error}") from None


def read_tensors(file):
    """A file's tensors in single precision, 8-bit ones times their rows' scales, and its metadata."""
    if not file.is_file():
        raise SystemExit(f"{file} is missing")
    try:
        with safe_open(file, "pt") as stored:
            tensors, metadata = {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}
    except SafetensorError as error:
        raise SystemExit(f"{file} is no safetensors file, or was cut off: {error}") from None
    for name in [name for name, value in tensors.items() if value.dtype == torch.int8]:
        scales = tensors.pop(f"{name}.scales")
        tensors[name] = tensors[name] * scales.view(-1, *[1] * (tensors[name].dim() - 1))
    return {name: value.float() for name, value in tensors.items()}, metadata


def is_norm(name):
    """Of a stem's batch norm."""
    return bool(re.match(r"stem\.(\d+)\.", name)) and int(name.split(".")[1]) % 3 == 1


def clip_names(name):
    """CLIP's names of a tensor of ours: one, or three of an attention's products, which ours has one behind the other."""
    if stem := re.match(r"stem\.(\d+)\.(\w+)", name):
        stage, part = divmod(int(stem[1]), 3)
        return [f"vision_model.embeddings.stem.{stage}.{['convolution', 'norm'][part]}.{stem[2]}"]
    if block := re.match(r"blocks\.(\d+)\.(\w+)\.(\w+)", name):
        index, part, kind = block.groups()
        parts = [f"self_attn.{which}_proj" for which in "qkv"] if part == "qkv" else [PARTS[part]]
        return [f"vision_model.encoder.layers.{index}.{each}.{kind}" for each in parts]
    base, _, kind = name.partition(".")
    return [NAMES.get(name) or f"{NAMES[base]}.{kind}"]


def is_statistic(name):
    """Of a batch norm: a run keeps none."""
    return "running" in name or "tracked" in name


def to_clip(net, deployed=False):
    """A Cliper's weights by CLIP's names; deployed: with the batch norms folded into the convolutions."""
    ours, weights = {name: value.detach().float().cpu() for name, value in net.state_dict().items()}, {}
    for name, value in ours.items():
        if not is_statistic(name):
            names = clip_names(name)
            weights.update(zip(names, value.chunk(len(names))))
    for stage in range(len(net.stem) // 3):
        place, norm = f"vision_model.embeddings.stem.{stage}", f"stem.{3 * stage + 1}"
        weights[f"{place}.convolution.bias"] = torch.zeros_like(ours[f"{norm}.bias"])
        if deployed:
            scale, shift = weights.pop(f"{place}.norm.weight"), weights.pop(f"{place}.norm.bias")
            scale = scale / (ours[f"{norm}.running_var"] + net.stem[3 * stage + 1].eps).sqrt()
            weights[f"{place}.convolution.weight"] = weights[f"{place}.convolution.weight"] * scale.view(-1, 1, 1, 1)
            weights[f"{place}.convolution.bias"] = shift - ours[f"{norm}.running_mean"] * scale
    weights[NAMES["patches.weight"]] = ours["patches.weight"][:, :, None, None]
    weights[NAMES["positions"]] = ours["positions"][0]
    return {name: value.contiguous().clone() for name, value in weights.items()}
