"""Writes fixture clip_archive: one small CLIP as torch.save writes it, in every way that people have on disk, and the same
tensors as safetensors.

Run: python tests/reference/clip_archive.py
Used: torch 2.15.0, transformers 5.24.0, open_clip_torch 3.3.0, safetensors 0.8.0.
"""
from collections import OrderedDict

import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from fixture import folder, normal, save_json

path = folder("clip_archive", __file__, """
Small random CLIPs, written by `torch.save`. `open_clip.safetensors` and `hugging_face.safetensors` hold the tensors that each
file below must give.

- `run.pt`: `open_clip` names as a training run keeps them, `{"epoch", "state_dict" with "module.", "optimizer"}`; the projection
  is a transposed view, and the products' weights and biases are views into one storage;
- `parameters.pt`: the same as parameters instead of tensors, pickle protocol 4;
- `bfloat16.pt`: rounded to bf16;
- `pytorch_model.bin`: `transformers` names;
- `old.bin`: the same in torch's format before 1.6;
- `whole.pt`: a module instead of its state dict; `scripted.pt`: a TorchScript program; `list.pt`: no dict at all.
""")
generator = torch.Generator().manual_seed(21)


@torch.no_grad()
def randomise(model):
    for value in model.parameters():
        value.copy_(normal(value.shape, generator, 0.3))


def keep(tensors, name):
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, path / name)


config = {
    "embed_dim": 8,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1},
}
model = open_clip.CLIP(**{key: config[key] for key in ["embed_dim", "quick_gelu", "vision_cfg", "text_cfg"]})
randomise(model)
save_json(path / "open_clip_config.json", {"model_cfg": config})
state = model.state_dict()
keep(state, "open_clip.safetensors")
views = OrderedDict(state)
views["visual.proj"] = state["visual.proj"].t().contiguous().t()
assert not views["visual.proj"].is_contiguous()
for tower in ["visual.transformer", "transformer"]:
    names = [f"{tower}.resblocks.0.{part}" for part in ["attn.in_proj_weight", "attn.in_proj_bias", "mlp.c_fc.weight"]]
    flat, at = torch.cat([state[name].flatten() for name in names]), 0
    for name in names:
        count = state[name].numel()
        views[name] = flat[at:at + count].view(state[name].shape)
        at += count
run = {
    "epoch": 3, "name": "small", "loss": 0.25, "done": False,
    "state_dict": OrderedDict((f"module.{name}", value) for name, value in views.items()),
    "optimizer": {"state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-4}]},
}
torch.save(run, path / "run.pt")
torch.save(OrderedDict(model.state_dict(keep_vars=True)), path / "parameters.pt", pickle_protocol=4)
torch.save({name: value.bfloat16() for name, value in state.items()}, path / "bfloat16.pt")

size = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "hidden_act": "gelu"}
model = CLIPModel(CLIPConfig(
    vision_config=CLIPVisionConfig(**size, patch_size=8, image_size=16, projection_dim=8).to_dict(),
    text_config=CLIPTextConfig(**size, vocab_size=20, max_position_embeddings=12, projection_dim=8).to_dict(),
    projection_dim=8,
))
randomise(model)
save_json(path / "config.json", {"model_type": "clip", "vision_config": size, "text_config": size})
state = {name: value for name, value in model.state_dict().items()}
keep(state, "hugging_face.safetensors")
state["text_model.embeddings.position_ids"] = torch.arange(12).unsqueeze(0)
torch.save(state, path / "pytorch_model.bin")
torch.save(state, path / "old.bin", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(2, 2), path / "whole.pt")
torch.save([torch.zeros(2)], path / "list.pt")
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path / "scripted.pt")
for file in path.iterdir():
    file.chmod(0o644)
