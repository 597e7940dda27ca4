"""Writes fixtures clip_vision and clip_vision_gelu: small seeded CLIP vision towers with pictures and their embeddings.

Run: python tests/reference/clip_vision.py
Used: torch 2.15.0, transformers 5.24.0, safetensors 0.8.0.
"""
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from fixture import folder, normal, randomise, save, save_json

NOTE = """
`weights.safetensors`: a random `transformers.CLIPVisionModelWithProjection`. `config.json`: its sizes in this project's
form (MLP width is 4 x width). `expected.safetensors`: `pixels` (batch, channel, y, x), already normalised, and
`embeddings`, the projected class token before L2 normalisation, computed in f64.
"""
HF_NAMES = {"quickGelu": "quick_gelu", "gelu": "gelu"}


def write(name, config, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    model = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=config["width"],
            intermediate_size=4 * config["width"],
            projection_dim=config["embedding"],
            num_hidden_layers=config["layers"],
            num_attention_heads=config["heads"],
            num_channels=config["channels"],
            image_size=config["side"],
            patch_size=config["patch"],
            hidden_act=HF_NAMES[config["activation"]],
            attn_implementation="eager",
        )
    ).eval()
    randomise(model, generator)
    pixels = normal((batch, config["channels"], config["side"], config["side"]), generator)
    weights = {k: v.clone() for k, v in model.state_dict().items() if not k.endswith("position_ids")}
    with torch.no_grad():
        embeddings = model.double()(pixel_values=pixels.double()).image_embeds
    path = folder(name, __file__, NOTE)
    save(path / "weights.safetensors", weights)
    save(path / "expected.safetensors", {"pixels": pixels, "embeddings": embeddings})
    save_json(path / "config.json", config)


write(
    "clip_vision",
    {"side": 32, "channels": 3, "stem": [], "patch": 8, "width": 64, "layers": 2, "heads": 2,
     "activation": "quickGelu", "embedding": 48},
    batch=3,
    seed=1,
)
write(
    "clip_vision_gelu",
    {"side": 48, "channels": 3, "stem": [], "patch": 16, "width": 32, "layers": 2, "heads": 2,
     "activation": "gelu", "embedding": 24},
    batch=2,
    seed=2,
)
