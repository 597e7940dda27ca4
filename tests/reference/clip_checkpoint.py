"""Writes fixtures clip_hugging_face, clip_open_clip, clip_tiny and clip_drawn: checkpoints in every layout with
pictures, token ids and their embeddings, as the reference libraries made them.

Run: python tests/reference/clip_checkpoint.py
Used: torch 2.15.0, transformers 5.24.0, open_clip_torch 3.3.0, torchvision 0.29.2, safetensors 0.8.0.
"""
import hashlib
import json
import math

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from fixture import folder, normal, save, save_json

EXPECTED = """
`expected.safetensors`: `pixels` (batch, channel, y, x), already normalised, `ids` [3,context] padded with 0, the embeddings
`images` and `texts` as projected, before L2 normalisation, computed in f64 from the stored weights.
"""


@torch.no_grad()
def randomise(model, generator):
    """Values large enough that leaving one out would show."""
    for name, value in model.named_parameters():
        if value.dim() == 0:
            continue
        if value.dim() == 1 and name.endswith("weight"):
            new = 1.0 + normal(value.shape, generator, 0.3)
        elif value.dim() == 1 or "embedding" in name and "patch" not in name:
            new = normal(value.shape, generator, 0.5)
        else:
            new = normal(value.shape, generator, 1.5 * value[0].numel() ** -0.5)
        value.copy_(new)


def token_ids(context, vocabulary, generator):
    """Texts of several lengths; the largest id ends each, and the second carries it twice."""
    ids = torch.zeros((3, context), dtype=torch.int64)
    for row, length in enumerate([5, 9, context]):
        ids[row, :length] = torch.randint(1, vocabulary - 2, (length,), generator=generator)
        ids[row, 0], ids[row, length - 1] = vocabulary - 2, vocabulary - 1
    ids[1, 10] = vocabulary - 1
    return ids


def hugging_face(vision, text, embedding):
    side = {k: v for k, v in vision.items()}
    return CLIPModel(CLIPConfig(
        vision_config=CLIPVisionConfig(**side, projection_dim=embedding).to_dict(),
        # transformers pools at the first end only when the id is not the old wrong 2.
        text_config=CLIPTextConfig(**text, projection_dim=embedding, bos_token_id=text["vocab_size"] - 2,
                                   eos_token_id=text["vocab_size"] - 1).to_dict(),
        projection_dim=embedding,
        attn_implementation="eager",
    )).eval()


@torch.no_grad()
def hugging_face_embeddings(model, pixels, ids):
    model = model.double()
    images = model.visual_projection(model.vision_model(pixel_values=pixels.double()).pooler_output)
    texts = model.text_projection(model.text_model(input_ids=ids).pooler_output)
    return images, texts


def vision(width, layers, patch, side, activation, heads=None):
    return {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "patch_size": patch,
            "num_attention_heads": heads or width // 64, "image_size": side, "hidden_act": activation}


def text(width, layers, vocabulary, activation, heads=None, context=77):
    return {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
            "num_attention_heads": heads or width // 64, "vocab_size": vocabulary, "hidden_act": activation,
            "max_position_embeddings": context}


def write_hugging_face():
    path = folder("clip_hugging_face", __file__, f"""
A random `transformers.CLIPModel`, quick_gelu, patch 14, f32, in two shards as `save_pretrained` splits them, with its
`config.json`. An old `position_ids` and a logit scale stand among the tensors, as in OpenAI's files.
{EXPECTED}""")
    generator = torch.Generator().manual_seed(11)
    model = hugging_face(vision(64, 1, 14, 42, "quick_gelu"), text(32, 2, 120, "quick_gelu", heads=2), 24)
    randomise(model, generator)
    pixels, ids = normal((2, 3, 42, 42), generator), token_ids(77, 120, generator)
    model.save_pretrained(path, max_shard_size="200KB")
    for other in path.glob("generation_config.json"):
        other.unlink()
    shards = sorted(path.glob("model-*.safetensors"))
    first = open_tensors(shards[0])
    first["text_model.embeddings.position_ids"] = torch.arange(77).unsqueeze(0)
    save_file(first, shards[0], metadata={"format": "pt"})
    images, texts = hugging_face_embeddings(model, pixels, ids)
    save(path / "expected.safetensors", {"pixels": pixels, "ids": ids, "images": images, "texts": texts})
    for file in path.iterdir():
        file.chmod(0o644)


def open_tensors(path):
    from safetensors.torch import load_file
    return load_file(path)


@torch.no_grad()
def write_open_clip(name, kind, quick, note, rename, seed, patch, side):
    path = folder(name, __file__, f"{note}\n{EXPECTED}")
    generator = torch.Generator().manual_seed(seed)
    config = {
        "embed_dim": 32,
        "quick_gelu": quick,
        "vision_cfg": {"image_size": side, "layers": 1, "width": 64, "patch_size": patch, "head_width": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 100, "width": 64, "heads": 4, "layers": 1},
    }
    model = open_clip.CLIP(
        embed_dim=32, quick_gelu=quick,
        vision_cfg=config["vision_cfg"], text_cfg=config["text_cfg"],
    ).eval()
    randomise(model, generator)
    model.visual.proj.copy_(normal(model.visual.proj.shape, generator, 0.2))
    model.text_projection.copy_(normal(model.text_projection.shape, generator, 0.2))
    model.to(kind).float()
    pixels, ids = normal((2, 3, side, side), generator), token_ids(77, 100, generator)
    stored = {rename(k): v.to(kind).contiguous() for k, v in model.state_dict().items()}
    save_file(stored, path / "model.safetensors")
    (path / "model.safetensors").chmod(0o644)
    model = model.double()
    mask = model.attn_mask
    model.attn_mask = mask.double() if mask is not None else None
    images, texts = model.encode_image(pixels.double()), model.encode_text(ids)
    save(path / "expected.safetensors", {"pixels": pixels, "ids": ids, "images": images, "texts": texts})
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    save_json(path / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": {"mean": mean, "std": std}})


def tiny_name(name):
    if name == "logit_scale":
        return "_logit_scale.logit_scale"
    return ("_image_encoder." if name.startswith("visual.") else "_text_encoder.") + name


def drawn(name, shape):
    """Values that another language draws alike: FNV-1a of the name, a 64-bit LCG from there, the top 24 bits."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & (2**64 - 1)
    count = math.prod(shape)
    # The state after k steps is a^k * state + (a^k - 1) / (a - 1) * c: drawn in blocks with wrapping arithmetic.
    a, c = np.uint64(6364136223846793005), np.uint64(1442695040888963407)
    powers, sums = np.empty(min(count, 65536), np.uint64), np.empty(min(count, 65536), np.uint64)
    power, total = np.uint64(1), np.uint64(0)
    with np.errstate(over="ignore"):
        for index in range(len(powers)):
            total = total * a + c
            power = power * a
            powers[index], sums[index] = power, total
        values, state = [], np.uint64(state)
        for start in range(0, count, len(powers)):
            states = powers * state + sums
            state = states[-1]
            values.append(states[: count - start])
    top = (np.concatenate(values) >> np.uint64(40)).astype(np.int64) - (1 << 23)
    values = torch.from_numpy((top / (1 << 23)).astype(np.float32)).reshape(shape)
    if name.endswith("norm.weight") or "layer_norm" in name and name.endswith("weight") or "layrnorm.weight" in name:
        return 1.0 + 0.25 * values
    if len(shape) == 1 or "embedding.weight" in name and "patch" not in name:
        return 0.5 * values
    # 2 / sqrt(inputs), brought to a power of two so that it is exact everywhere.
    return values * 2.0 ** -round(math.log2(math.sqrt(math.prod(shape[1:])) / 2))


def write_drawn():
    path = folder("clip_drawn", __file__, f"""
Models whose weights are drawn by a formula (`drawn` in the script, again in `tests/parity/checkpoint.rs`), so that large ones
need no file. `models.json`: their sizes; pixels are drawn under the name `pixels`.
`expected.safetensors`: `NAME.images` and `NAME.texts`, the embeddings as projected, by `transformers.CLIPModel`
(f64 for the small ones, f32 for ViT-B/32 and ViT-B/16), and `NAME.ids` [2,77].
""")
    models = {
        "l14_336": (vision(1024, 2, 14, 336, "quick_gelu"), text(768, 1, 1000, "quick_gelu"), 768),
        "width_256": (vision(256, 2, 16, 224, "gelu"), text(256, 2, 1000, "gelu"), 512),
        "patch_32": (vision(768, 1, 32, 224, "gelu"), text(512, 1, 1000, "gelu"), 512),
        "vit_b_32": (vision(768, 12, 32, 224, "quick_gelu"), text(512, 12, 49408, "quick_gelu"), 512),
        "vit_b_16": (vision(768, 12, 16, 224, "gelu"), text(512, 12, 49408, "gelu"), 512),
    }
    expected, listed = {}, {}
    for name, (image, words, embedding) in models.items():
        model = hugging_face(image, words, embedding)
        with torch.no_grad():
            for key, value in model.named_parameters():
                if value.dim():
                    value.copy_(drawn(key, tuple(value.shape)))
        side = image["image_size"]
        pixels = 2 * drawn("pixels", (1, 3, side, side))
        ids = token_ids(77, words["vocab_size"], torch.Generator().manual_seed(5))[:2]
        if name.startswith("vit"):
            with torch.no_grad():
                images = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
                texts = model.text_projection(model.text_model(input_ids=ids).pooler_output)
        else:
            images, texts = hugging_face_embeddings(model, pixels, ids)
        expected |= {f"{name}.images": images, f"{name}.texts": texts, f"{name}.ids": ids}
        listed[name] = {"vision": image, "text": words, "embedding": embedding}
        print(name, float(images.abs().max()), float(texts.abs().max()))
    save(path / "expected.safetensors", expected)
    save_json(path / "models.json", listed)


write_hugging_face()
write_open_clip("clip_open_clip", torch.float16, True, """
A random `open_clip.CLIP` (its own names, which are OpenAI's), quick_gelu, f16, with the `open_clip_config.json` that
open_clip would put beside it.
""", lambda name: name, 12, 16, 32)
write_open_clip("clip_tiny", torch.bfloat16, False, """
A random `open_clip.CLIP` under TinyCLIP's names (`_image_encoder.`, `_text_encoder.`, `_logit_scale.`), exact GELU, bf16,
with the position table of a larger picture (7 x 7 patches of 8).
""", tiny_name, 13, 8, 56)
write_drawn()
