"""Image encoders for the benchmark, in every form that its engines read.

    python3 tests/bench/scripts/models.py FOLDER NAME ...

NAME: built-in (the bundle that ships), or a seeded CLIP encoder: vit-tiny-16, vit-b-32, vit-b-16. Each becomes FOLDER/NAME with
`f32.onnx`, `int8.onnx` (onnxruntime's dynamic quantisation, its defaults), `f32.tflite`, `int8.tflite` (ai-edge-quantizer's
recipe for 8-bit weights and activations rounded as they come) and `expected.json`: PyTorch's embedding of the picture that
`pixels` makes here and in www/bench/measure.ts. A seeded one has `checkpoint/` too, for `cargo pkg import`; its weights are
rounded to f16 first, so that every file but the 8-bit ones holds the same numbers. models-requirements.txt lists what it needs.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPModel

BUILT_IN = Path(__file__).parents[3] / "pkg-build/models/ferplus-small"
# Patch, width, blocks, heads.
SEEDED = {"vit-tiny-16": (16, 192, 12, 3), "vit-b-32": (32, 768, 12, 12), "vit-b-16": (16, 768, 12, 12)}
PACKAGES = ["torch", "transformers", "onnx", "onnxruntime", "litert-torch", "ai-edge-quantizer"]


class BuiltIn(nn.Module):
    """The built-in bundle's encoder, whose stem's batch norms are folded into its convolutions."""

    def __init__(self, encoder, weights):
        super().__init__()
        vision = lambda name: weights[f"vision_model.{name}"]
        layers, channels = [], encoder["channels"]
        for place, stage in enumerate(encoder["stem"]):
            convolution = nn.Conv2d(channels, stage["channels"], 3, stage["stride"], 1)
            fill(convolution, weights, f"vision_model.embeddings.stem.{place}.convolution")
            layers += [convolution, nn.ReLU()]
            channels = stage["channels"]
        self.stem = nn.Sequential(*layers)
        width = encoder["width"]
        self.patches = nn.Linear(channels, width, bias=False)
        self.positions = nn.Parameter(vision("embeddings.position_embedding.weight"))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, encoder["embedding"], bias=False)
        with torch.no_grad():
            self.patches.weight.copy_(vision("embeddings.patch_embedding.weight").flatten(1))
            self.project.weight.copy_(weights["visual_projection.weight"])
        fill(self.before, weights, "vision_model.pre_layrnorm")
        fill(self.after, weights, "vision_model.post_layernorm")
        names = [f"vision_model.encoder.layers.{place}" for place in range(encoder["layers"])]
        self.blocks = nn.Sequential(*[Block(encoder, weights, name) for name in names])

    def forward(self, pixels):
        tokens = self.before(self.patches(self.stem(pixels).flatten(2).transpose(1, 2)) + self.positions)
        return self.project(self.after(self.blocks(tokens).mean(1)))


class Block(nn.Module):
    """CLIP's residual block with a ReLU, in tensors of four dimensions at most: LiteRT's GPU delegate takes no more."""

    def __init__(self, encoder, weights, name):
        super().__init__()
        width, self.heads = encoder["width"], encoder["heads"]
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.keys, self.values, self.out = (nn.Linear(width, width) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer, its in [(self.norm1, "layer_norm1"), (self.norm2, "layer_norm2"), (self.queries, "self_attn.q_proj"),
                           (self.keys, "self_attn.k_proj"), (self.values, "self_attn.v_proj"),
                           (self.out, "self_attn.out_proj"), (self.fc1, "mlp.fc1"), (self.fc2, "mlp.fc2")]:
            fill(layer, weights, f"{name}.{its}")

    def forward(self, tokens):
        normed = self.norm1(tokens)
        queries, keys, values = (layer(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
                                 for layer in [self.queries, self.keys, self.values])
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(attended)
        return tokens + self.fc2(self.fc1(self.norm2(tokens)).relu())


def fill(layer, weights, name):
    with torch.no_grad():
        for part in ["weight", "bias"]:
            getattr(layer, part).copy_(weights[f"{name}.{part}"])


def built_in():
    """The encoder of the bundle and the shape of its pictures."""
    manifest = json.loads((BUILT_IN / "model.json").read_text())
    stored = {}
    for file in manifest["files"]:
        if file["role"] == "weights":
            stored |= load_file(BUILT_IN / file["path"])
    weights = {}
    for name, values in stored.items():
        # 8-bit rows have a scale each.
        scales = stored.get(f"{name}.scales")
        weights[name] = values.float() * (1 if scales is None else scales.view(-1, *[1] * (values.dim() - 1)))
    encoder = manifest["encoder"]
    return BuiltIn(encoder, weights), (1, encoder["channels"], encoder["side"], encoder["side"])


class Clip(nn.Module):
    def __init__(self, clip):
        super().__init__()
        self.vision, self.projection = clip.vision_model, clip.visual_projection

    def forward(self, pixels):
        return self.projection(self.vision(pixel_values=pixels).pooler_output)


def seeded(name, checkpoint):
    """A seeded encoder, kept as a checkpoint, and the shape of its pictures."""
    (patch, width, layers, heads), side = SEEDED[name], 224
    torch.manual_seed(7)
    vision = dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
                  image_size=side, patch_size=patch, hidden_act="quick_gelu")
    # The smallest text tower that describes: its vocabulary is CLIP's.
    text = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=1, num_attention_heads=1, vocab_size=49408,
                max_position_embeddings=77, bos_token_id=49406, eos_token_id=49407, hidden_act="quick_gelu")
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=512, attn_implementation="eager")
    clip = CLIPModel(config)
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.copy_(parameter.half().float())
    clip.save_pretrained(checkpoint)
    return Clip(clip), (1, 3, side, side)


def pixels(shape):
    """-1..1 in steps of 1/128, from integers, so that JavaScript makes the same."""
    index = np.arange(np.prod(shape), dtype=np.uint64)
    values = ((index * 7919 + index // shape[-1] * 31) % 257).astype(np.float32) - 128
    return torch.from_numpy(values / 128).reshape(shape)


def make(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    encoder, shape = built_in() if name == "built-in" else seeded(name, folder / "checkpoint")
    encoder, picture = encoder.eval(), pixels(shape)
    with torch.no_grad():
        embedding = encoder(picture)[0].tolist()
    file = lambda name: str(folder / name)
    torch.onnx.export(encoder, (picture,), file("f32.onnx"), input_names=["pixels"], output_names=["embedding"],
                      dynamic_axes={"pixels": {0: "batch"}, "embedding": {0: "batch"}}, opset_version=17, dynamo=False)
    quantize_dynamic(file("f32.onnx"), file("int8.onnx"), weight_type=QuantType.QUInt8)
    litert_torch.convert(encoder, (picture,)).export(file("f32.tflite"))
    rounded = quantizer.Quantizer(file("f32.tflite"))
    rounded.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    rounded.quantize().export_model(file("int8.tflite"), overwrite=True)
    # Last, for it says that all of the others are there.
    versions = {package: version(package) for package in PACKAGES}
    (folder / "expected.json").write_text(json.dumps({"embedding": embedding, "shape": shape, "versions": versions}))


if __name__ == "__main__":
    for name in sys.argv[2:]:
        make(Path(sys.argv[1]) / name, name)
        print(f"made {name}", file=sys.stderr)
