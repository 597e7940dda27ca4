"""Makes what the tests of pkg-build/training-gpu train with: drawn faces, narrow nets, a run and a bundle, all within seconds."""
import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "pkg-build/training-gpu"
sys.path.insert(0, str(SCRIPTS))

from faces import EXPRESSIONS, LABELS  # noqa: E402
from nets import Cliper  # noqa: E402
from runs import to_clip  # noqa: E402

ENCODER = {"side": 48, "channels": 1, "stem": [{"channels": 8, "stride": 2}, {"channels": 16, "stride": 2}, {"channels": 16, "stride": 2}],
           "patch": 1, "width": 32, "layers": 1, "heads": 2, "activation": "relu", "pool": "mean", "embedding": 24}
PREPROCESS = {"mean": [0.508], "std": [0.255]}
BACKBONE = "a drawn joint space"
TRAINING, VALIDATION = 84, 24
# FER2013's number of each of its expressions, in FER+'s order.
NUMBERS = [LABELS.index(place) for place in range(len(LABELS))]


def face(expression, random):
    """A drawn face whose mouth's height and brightness say its expression."""
    picture = random.normal(110 + 12 * expression, 12, (48, 48))
    row = 8 + 4 * expression
    picture[row:row + 4, 10:38] -= 90
    return picture.clip(0, 255).astype(np.uint8)


def ferplus(folder, numbers=NUMBERS):
    """FER+'s two parts, and FER2013's table of the same pictures; gives both places."""
    random = np.random.default_rng(7)
    with open(folder / "fer2013.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["emotion", "pixels", "Usage"])
        for name, usage, count in (("FER2013Train", "Training", TRAINING), ("FER2013Valid", "PublicTest", VALIDATION)):
            (folder / "ferplus" / name).mkdir(parents=True)
            with open(folder / "ferplus" / name / "label.csv", "w", newline="") as labels:
                rows = csv.writer(labels)
                for index in range(count):
                    expression = index % len(EXPRESSIONS)
                    picture = face(expression, random)
                    Image.fromarray(picture).save(folder / "ferplus" / name / f"{index}.png")
                    votes = [0] * 10
                    votes[expression], votes[(expression + 1) % 8] = 7, 3
                    rows.writerow([f"{index}.png", "(0, 0, 48, 48)", *votes])
                    if expression < len(LABELS):
                        table.writerow([numbers[expression], " ".join(map(str, picture.ravel())), usage])
    return folder / "ferplus", folder / "fer2013.csv"


def mux(file, names=EXPRESSIONS, count=40, two=True):
    """Faces with rough labels, as mux_train.npz holds them; every tenth of the first person's has two where `two`."""
    random = np.random.default_rng(8)
    labels = np.zeros((count, len(names)), bool)
    labels[np.arange(count), np.arange(count) % len(names)] = True
    if two:
        labels[0, 1] = True
    images = np.stack([np.asarray(Image.fromarray(face(index % 8, random)).resize((96, 96))) for index in range(count)])
    np.savez_compressed(file, images=images, labels=labels, label_names=np.array(names), person=np.arange(count) // 2)
    return file


def face_nets(folder, width=4):
    """Two MobileNets of a few channels in HSE-FaceRes' form: TensorFlow.js, half precision."""
    folder.mkdir()
    for seed, name in enumerate(("faceres", "faceres-deep")):
        random, entries, data = np.random.default_rng(seed), [], b""

        def add(entry, *shape, mean=0.0):
            nonlocal data
            values = random.normal(mean, (2 / max(1, np.prod(shape[:-1]))) ** 0.5, shape).astype(np.float16)
            entries.append({"name": entry, "shape": list(shape), "dtype": "float32", "quantization": {"dtype": "float16"}})
            data += values.tobytes()

        add("conv1/convolution/merged_input", 3, 3, 3, width)
        add("conv1_bn/batchnorm_1/sub", width)
        for pair in range(1, 14):
            add(f"conv_dw_{pair}/depthwise_kernel", 3, 3, width, 1)
            add(f"conv_dw_{pair}_bn/batchnorm_1/mul", width, mean=1.0)
            add(f"conv_dw_{pair}_bn/batchnorm_1/sub", width)
            add(f"conv_pw_{pair}/convolution/merged_input", 1, 1, width, width)
            add(f"conv_pw_{pair}_bn/batchnorm_1/sub", width)
        (folder / f"{name}.bin").write_bytes(data)
        manifest = {"weightsManifest": [{"paths": [f"{name}.bin"], "weights": entries}]}
        (folder / f"{name}.json").write_text(json.dumps(manifest))
    return folder


def expressions(names):
    return [{"name": name, "descriptors": [f"{name}, first", f"{name}, second"]} for name in names]


def texts():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(2 * count, ENCODER["embedding"], generator=generator) for count in (len(EXPRESSIONS), len(LABELS))]


def encoder():
    """A drawn encoder in whose batch norms nothing is 0 or 1."""
    torch.manual_seed(4)
    net = Cliper(ENCODER, texts(), [0.05, 0.05]).eval()
    with torch.no_grad():
        for norm in net.stem[1::3]:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.5, 1.5)
        net.positions.normal_(0, 0.1)
    return net


def run(folder, deployed=False, stage="image"):
    """A run of `cargo pkg train image`; deployed: one that started from a bundle, whose batch norms were folded."""
    folder.mkdir()
    config = {"epochs": 1, "batch": 8, "rate": 1e-3, "weightDecay": 0.05, "temperature": 0.05, "classWeight": 12.0, "averaging": 0.998,
              "seed": 1, "threads": 2, "augment": {"flip": 0.5, "roll": 20.0, "scale": 0.2, "shift": 0.1, "light": 0.25, "gamma": 0.8,
                                                   "noise": 6.0, "cut": 0.4}, "preprocess": PREPROCESS}
    state = {"stage": stage, "encoder": ENCODER, "config": config, "backbone": BACKBONE, "step": 1,
             "history": [{"epoch": 1, "loss": 2.0, "seconds": 1.0, "war": 0.2, "uar": 0.2}]}
    (folder / "state.json").write_text(json.dumps(state))
    save_file(to_clip(encoder(), deployed), folder / "averaged.safetensors")
    for name, embeddings, names in zip(("descriptors", "auxiliary"), texts(), (EXPRESSIONS, EXPRESSIONS[:len(LABELS)])):
        save_file({"embeddings": embeddings}, folder / f"{name}.safetensors",
                  {"backbone": BACKBONE, "expressions": json.dumps(expressions(names))})
    return folder


def bundle(folder, precision="f16", learned=False):
    """The same encoder as `cargo pkg pack` stores it."""
    folder.mkdir()
    weights = to_clip(encoder(), deployed=True)
    stored = {}
    for name, value in weights.items():
        if precision == "int8" and value.dim() in (2, 4) and "embedding" not in name.replace("embeddings.stem", ""):
            scales = value.flatten(1).abs().amax(1) / 127
            stored[f"{name}.scales"] = scales
            stored[name] = (value / scales.view(-1, *[1] * (value.dim() - 1))).round().to(torch.int8)
        else:
            stored[name] = value.half()
    first, second = texts()
    contents = {"encoder.safetensors": ("weights", stored), "descriptors.safetensors": ("descriptors", {"embeddings": first}),
                "labels.safetensors": ("labels", {"embeddings": second})}
    files = []
    for path, (role, tensors) in contents.items():
        save_file(tensors, folder / path, {"backbone": BACKBONE})
        data = (folder / path).read_bytes()
        files.append({"path": path, "role": role, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    labels = [{"name": "FER2013", "path": "labels.safetensors", "expressions": expressions(EXPRESSIONS[:len(LABELS)]),
               "calibration": {"temperature": 0.04}}]
    manifest = {"format": "cliper-bundle", "version": 4, "name": "drawn", "licence": "none", "encoder": ENCODER, "preprocess": PREPROCESS,
                "backbone": BACKBONE, "expressions": expressions(EXPRESSIONS), "labels": labels, "calibration": {"temperature": 0.03},
                "provenance": {"training": {"stage": "metd" if learned else "image"}, "command": "cargo pkg train"}, "files": files}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder
