"""Writes fixture clip_wrapped: the small CLIP of fixture clip_archive in the forms that training code leaves on disk.

Run: python tests/reference/clip_wrapped.py
Used: torch 2.12.1, peft 0.21.2, transformers 5.24.0, safetensors 0.8.0.
"""
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from fixture import FIXTURES, folder

path = folder("clip_wrapped", __file__, """
`hugging_face.safetensors` and `config.json` of fixture clip_archive, saved by training code.

- `lightning.pt`: below `state_dict`, every name behind `model.`; `compiled.pt`: below `model`, behind `module._orig_mod.`;
  `part_compiled.pt`: one tower compiled by itself; `averaged.pt`: stochastic weight averaging's, with a count beside;
- `ema.pt`, `net.pt`, `nested.pt`: the state dict below another key; `beside.pt`: `state_dict` beside `state_dict_ema`;
  `several.pt`: two that are equally likely meant, which is refused;
- `head.pt`: with a classifier's head;
- `old_protocol_4.bin`: torch's format before 1.6 with a newer pickle;
- `lora.pt`: a LoRA of peft that was not merged; `float8.pt`: 8-bit floats; both are refused.
""")
archive = FIXTURES / "clip_archive"
state = load_file(archive / "hugging_face.safetensors")


def save(name, value, **options):
    torch.save(value, path / name, **options)


def behind(prefix):
    return {prefix + name: value for name, value in state.items()}


save("lightning.pt", {"epoch": 3, "pytorch-lightning_version": "2.5.0", "state_dict": behind("model.")})
save("compiled.pt", {"model": behind("module._orig_mod."), "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}})
save("part_compiled.pt", {name.replace("vision_model.", "vision_model._orig_mod."): value for name, value in state.items()})
save("averaged.pt", {"n_averaged": torch.tensor(3), **behind("module.")})
save("ema.pt", {"ema": state, "step": 1, "accuracy": torch.tensor(0.9)})
save("net.pt", {"net": state, "acc": 0.9})
save("nested.pt", {"checkpoint": {"params": behind("clip_model.")}})
save("beside.pt", {"state_dict": state, "state_dict_ema": {name: value * 2 for name, value in state.items()}})
save("several.pt", {"net": state, "ema": {name: value * 2 for name, value in state.items()}})
save("head.pt", {**state, "classifier.weight": torch.zeros(7, 8), "classifier.bias": torch.zeros(7)})
save("old_protocol_4.bin", state, _use_new_zipfile_serialization=False, pickle_protocol=4)
save("float8.pt", {name: value.to(torch.float8_e4m3fn) for name, value in state.items()})
tower = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 8}
vision = CLIPVisionConfig(**tower, image_size=16, patch_size=8)
text = CLIPTextConfig(**tower, vocab_size=20, max_position_embeddings=12)
model = CLIPModel(CLIPConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), projection_dim=8))
model.load_state_dict(state, strict=False)
save("lora.pt", get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).state_dict())
