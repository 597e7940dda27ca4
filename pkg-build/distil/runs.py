"""Run folders of `cargo pkg train`: reads one to start from, writes one that `cargo pkg pack` takes."""
import json
import re
import shutil

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

# Ours by CLIP's names; the three products of a block's attention are one of ours.
NAMES = {"patches.weight": "vision_model.embeddings.patch_embedding.weight",
         "positions": "vision_model.embeddings.position_embedding.weight",
         "before": "vision_model.pre_layrnorm", "after": "vision_model.post_layernorm",
         "project.weight": "visual_projection.weight"}
PARTS = {"norm1": "layer_norm1", "norm2": "layer_norm2", "out": "self_attn.out_proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}


class Run:
    """A run of the image encoder's stage that learned FER2013's labels too."""

    def __init__(self, folder):
        self.folder = folder
        self.state = json.loads((folder / "state.json").read_text())
        self.descriptors = [read_descriptors(folder / f"{name}.safetensors") for name in ("descriptors", "also")]

    def weights(self):
        return load_file(self.folder / "averaged.safetensors")

    def write(self, output, net, config, history, distilled):
        """Writes `net` as a run that started from this one.

        distilled: command and teachers, for model.json and the card
        """
        (output / "start").mkdir(parents=True)
        shutil.copy(self.folder / "state.json", output / "start")
        for name in ("origin.json", "start"):
            before = self.folder / name
            if before.is_dir():
                shutil.copytree(before, output / "start" / name)
            elif before.is_file():
                shutil.copy(before, output / "start")
        for name in ("descriptors.safetensors", "also.safetensors"):
            shutil.copy(self.folder / name, output)
        state = {**self.state, "config": {**self.state["config"], **config}, "history": history, "distilled": distilled}
        state.pop("earlier", None)
        (output / "state.json").write_text(json.dumps(state, indent=2))
        save_file(to_clip(net), output / "averaged.safetensors")
        save_file(to_clip(net, deployed=True), output / "best.safetensors")


def read_descriptors(file):
    with safe_open(file, "pt") as tensors:
        return tensors.get_tensor("embeddings").float()


def to_clip(net, deployed=False):
    """A Cliper's weights by CLIP's names; deployed: with the batch norms folded into the convolutions."""
    ours, weights = {name: value.detach().float().cpu() for name, value in net.state_dict().items()}, {}
    for stage in range(len(net.stem) // 3):
        place = f"vision_model.embeddings.stem.{stage}"
        kernel, norm = ours[f"stem.{3 * stage}.weight"], f"stem.{3 * stage + 1}"
        scale, shift = ours[f"{norm}.weight"], ours[f"{norm}.bias"]
        if deployed:
            scale = scale / (ours[f"{norm}.running_var"] + net.stem[3 * stage + 1].eps).sqrt()
            weights[f"{place}.convolution.weight"] = kernel * scale.view(-1, 1, 1, 1)
            weights[f"{place}.convolution.bias"] = shift - ours[f"{norm}.running_mean"] * scale
        else:
            weights[f"{place}.convolution.weight"] = kernel
            weights[f"{place}.convolution.bias"] = torch.zeros_like(shift)
            weights[f"{place}.norm.weight"], weights[f"{place}.norm.bias"] = scale, shift
    for name, value in ours.items():
        if name.startswith("stem."):
            continue
        if block := re.match(r"blocks\.(\d+)\.(\w+)\.(\w+)", name):
            index, part, kind = block.groups()
            place = f"vision_model.encoder.layers.{index}"
            if part == "qkv":
                for which, third in zip("qkv", value.chunk(3)):
                    weights[f"{place}.self_attn.{which}_proj.{kind}"] = third
            else:
                weights[f"{place}.{PARTS[part]}.{kind}"] = value
        else:
            base, _, kind = name.partition(".")
            weights[NAMES.get(name) or f"{NAMES[base]}.{kind}"] = value
    weights["vision_model.embeddings.patch_embedding.weight"] = ours["patches.weight"][:, :, None, None]
    weights["vision_model.embeddings.position_embedding.weight"] = ours["positions"][0]
    return {name: value.contiguous().clone() for name, value in weights.items()}


def from_clip(net, weights):
    """Puts a run's averaged weights into a Cliper; its batch norms keep no statistics."""
    ours = {}
    for name in net.state_dict():
        if "running" in name or "tracked" in name:
            continue
        if stem := re.match(r"stem\.(\d+)\.(\w+)", name):
            place, part = divmod(int(stem[1]), 3)
            kind = ["convolution", "norm"][part]
            ours[name] = weights[f"vision_model.embeddings.stem.{place}.{kind}.{stem[2]}"]
        elif block := re.match(r"blocks\.(\d+)\.(\w+)\.(\w+)", name):
            index, part, kind = block.groups()
            place = f"vision_model.encoder.layers.{index}"
            if part == "qkv":
                ours[name] = torch.cat([weights[f"{place}.self_attn.{which}_proj.{kind}"] for which in "qkv"])
            else:
                ours[name] = weights[f"{place}.{PARTS[part]}.{kind}"]
        else:
            base, _, kind = name.partition(".")
            ours[name] = weights[NAMES.get(name) or f"{NAMES[base]}.{kind}"]
    ours["patches.weight"] = ours["patches.weight"].flatten(1)
    ours["positions"] = ours["positions"][None]
    net.load_state_dict(ours, strict=False)
