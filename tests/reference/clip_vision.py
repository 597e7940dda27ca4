"""Writes fixtures clip_vision and clip_vision_gelu: small seeded CLIP vision towers with pictures and their embeddings.

Run: python tests/reference/clip_vision.py
Used: torch 2.15.0, transformers 5.24.0, safetensors 0.8.0, pillow 13.0.0.
"""
import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from fixture import folder, normal, randomise, save, save_json

NOTE = """
`weights.safetensors`: a random `transformers.CLIPVisionModelWithProjection`. `config.json`: its sizes in this project's
form (MLP width is 4 x width). `expected.safetensors`: `pixels` (batch, channel, y, x), already normalised, and
`embeddings`, the projected class token before L2 normalisation, computed in f64. `golden.safetensors`: the `embedding` of
the picture that bundles are tested with (`golden_picture` in src/bundle/mod.rs), resized by Pillow, for CLIP's mean and std.
"""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's processor
HF_NAMES = {"quickGelu": "quick_gelu", "gelu": "gelu"}


def golden_pixels(side):
    y, x = np.mgrid[:64, :64]
    ring = ((x - 32) ** 2 + (y - 32) ** 2) // 6
    picture = Image.fromarray(np.stack([x * 4, ring, y * 3 + x], -1).astype(np.uint8)).resize((side, side), Image.BICUBIC)
    values = (np.asarray(picture, np.float64) / 255 - MEAN) / STD
    return torch.from_numpy(values.transpose(2, 0, 1)[None])


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
    with torch.no_grad():
        golden = model(pixel_values=golden_pixels(config["side"])).image_embeds[0]
    save(path / "golden.safetensors", {"embedding": golden})
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
