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
        self.descriptors = [read_descriptors(folder / f"{name}.safetensors") for name in ("descriptors", "auxiliary")]

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
        for name in ("descriptors.safetensors", "auxiliary.safetensors"):
            shutil.copy(self.folder / name, output)
        state = {**self.state, "config": {**self.state["config"], **config}, "history": history, "distilled": distilled}
        state.pop("earlier", None)
        (output / "state.json").write_text(json.dumps(state, indent=2))
        save_file(to_clip(net), output / "averaged.safetensors")
        save_file(to_clip(net, deployed=True), output / "best.safetensors")


def read_descriptors(file):
    with safe_open(file, "pt") as tensors:
        return tensors.get_tensor("embeddings").float()


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


def from_clip(net, weights):
    """Puts a run's averaged weights into a Cliper; its batch norms keep no statistics."""
    names = [name for name in net.state_dict() if not is_statistic(name)]
    ours = {name: torch.cat([weights[each] for each in clip_names(name)]) for name in names}
    ours["patches.weight"] = ours["patches.weight"].flatten(1)
    ours["positions"] = ours["positions"][None]
    net.load_state_dict(ours, strict=False)
