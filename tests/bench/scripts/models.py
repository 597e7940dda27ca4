"""Seeded CLIP image encoders for the benchmark, in every form that its engines read.

    python3 tests/bench/scripts/models.py FOLDER [NAME ...]

NAME: vit-tiny-16, vit-b-32 (both by default), vit-b-16. Each becomes FOLDER/NAME with `checkpoint/` (for
`cargo pkg import`), `f32.onnx`, `int8.onnx` (onnxruntime's dynamic quantisation, its defaults) and `expected.json`:
PyTorch's embedding of the picture that `pixels` makes here and in www/bench/contenders.ts. Weights are rounded to f16
first, so that every file but the 8-bit one holds the same numbers. Needs torch, transformers, onnx and onnxruntime.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import CLIPConfig, CLIPModel

# Patch, width, blocks, heads.
MODELS = {"vit-tiny-16": (16, 192, 12, 3), "vit-b-32": (32, 768, 12, 12), "vit-b-16": (16, 768, 12, 12)}
SIDE = 224


class Encoder(torch.nn.Module):
    def __init__(self, clip):
        super().__init__()
        self.vision, self.projection = clip.vision_model, clip.visual_projection

    def forward(self, pixels):
        return self.projection(self.vision(pixel_values=pixels).pooler_output)


def pixels():
    """[1, 3, SIDE, SIDE]: -1..1 in steps of 1/128, from integers, so that JavaScript makes the same."""
    index = np.arange(3 * SIDE * SIDE, dtype=np.uint64)
    return torch.from_numpy((((index * 7919 + index // SIDE * 31) % 257).astype(np.float32) - 128) / 128).reshape(1, 3, SIDE, SIDE)


def make(folder, name):
    patch, width, layers, heads = MODELS[name]
    torch.manual_seed(7)
    vision = dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
                  image_size=SIDE, patch_size=patch, hidden_act="quick_gelu")
    # The smallest text tower that describes: its vocabulary is CLIP's.
    text = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=1, num_attention_heads=1, vocab_size=49408,
                max_position_embeddings=77, bos_token_id=49406, eos_token_id=49407, hidden_act="quick_gelu")
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=512, attn_implementation="eager")
    clip = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.copy_(parameter.half().float())
    folder.mkdir(parents=True, exist_ok=True)
    clip.save_pretrained(folder / "checkpoint")
    encoder = Encoder(clip).eval()
    with torch.no_grad():
        embedding = encoder(pixels())[0].tolist()
    (folder / "expected.json").write_text(json.dumps({"embedding": embedding, "torch": torch.__version__}))
    torch.onnx.export(encoder, (pixels(),), str(folder / "f32.onnx"), input_names=["pixels"], output_names=["embedding"],
                      dynamic_axes={"pixels": {0: "batch"}, "embedding": {0: "batch"}}, opset_version=17, dynamo=False)
    quantize_dynamic(folder / "f32.onnx", folder / "int8.onnx", weight_type=QuantType.QUInt8)


if __name__ == "__main__":
    for name in sys.argv[2:] or ["vit-tiny-16", "vit-b-32"]:
        make(Path(sys.argv[1]) / name, name)
        print(f"made {name}", file=sys.stderr)
