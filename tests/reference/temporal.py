"""Writes fixture temporal: a small seeded temporal head under DFER-CLIP's names, windows, and what it makes of them.

Run: python tests/reference/temporal.py
Used: torch 2.15.0, safetensors 0.8.0, numpy 2.4.6.
"""
import numpy as np
import torch
import torch.nn.functional as F

from fixture import folder, normal, save, save_json

NOTE = """
`weights.safetensors`: a head as DFER-CLIP's checkpoints name its tensors (`Temporal_Transformer_Cls`), random, 2 blocks,
3 heads of 16 (together not as wide as the embedding). `model.pth`: the same in a state dict of a whole model. `config.json`: its sizes in this project's form. In
`expected.safetensors`: `frames` (batch, time, embedding); `full`, the head's answers at unit length to full windows;
`filled`, how many of the newest frames of each window are there in `masked`, where the others are hidden from the
attention by minus infinity. Computed in f64. `samples.json`: `[count, frames, indices]` of the frames of a clip.
"""
WIDTH, FRAMES, LAYERS, HEADS, HEAD, HIDDEN, BATCH = 40, 6, 2, 3, 16, 56, 4
INNER = HEADS * HEAD


def weights(generator):
    linear = lambda out, inputs: normal((out, inputs), generator, 1.5 * inputs**-0.5)
    named = {
        "cls_token": normal((1, 1, WIDTH), generator),
        "pos_embedding": normal((1, FRAMES + 1, WIDTH), generator),
    }
    for layer in range(LAYERS):
        attention, mlp = (f"temporal_transformer.layers.{layer}.{half}.fn." for half in (0, 1))
        for norm in (attention, mlp):
            named[norm + "norm.weight"] = 1 + normal((WIDTH,), generator, 0.3)
            named[norm + "norm.bias"] = normal((WIDTH,), generator, 0.5)
        named[attention + "fn.to_qkv.weight"] = linear(3 * INNER, WIDTH)
        named[attention + "fn.to_out.0.weight"] = linear(WIDTH, INNER)
        named[attention + "fn.to_out.0.bias"] = normal((WIDTH,), generator, 0.5)
        named[mlp + "fn.net.0.weight"] = linear(HIDDEN, WIDTH)
        named[mlp + "fn.net.0.bias"] = normal((HIDDEN,), generator, 0.5)
        named[mlp + "fn.net.3.weight"] = linear(WIDTH, HIDDEN)
        named[mlp + "fn.net.3.bias"] = normal((WIDTH,), generator, 0.5)
    return {"temporal_net." + name: value for name, value in named.items()}


def forward(named, frames, filled):
    get = lambda name: named["temporal_net." + name].double()
    batch = frames.shape[0]
    hidden = torch.cat([get("cls_token").expand(batch, 1, WIDTH), frames.double()], 1) + get("pos_embedding")
    seen = torch.ones(batch, 1, 1, FRAMES + 1, dtype=torch.bool)
    for row, count in enumerate(filled):
        seen[row, ..., 1 : FRAMES + 1 - count] = False
    split = lambda rows: rows.view(batch, FRAMES + 1, HEADS, HEAD).transpose(1, 2)
    for layer in range(LAYERS):
        name = f"temporal_transformer.layers.{layer}.0.fn."
        normed = F.layer_norm(hidden, (WIDTH,), get(name + "norm.weight"), get(name + "norm.bias"))
        q, k, v = map(split, (normed @ get(name + "fn.to_qkv.weight").T).split(INNER, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        mixed = mixed.transpose(1, 2).reshape(batch, FRAMES + 1, INNER)
        hidden = hidden + F.linear(mixed, get(name + "fn.to_out.0.weight"), get(name + "fn.to_out.0.bias"))
        name = f"temporal_transformer.layers.{layer}.1.fn."
        normed = F.layer_norm(hidden, (WIDTH,), get(name + "norm.weight"), get(name + "norm.bias"))
        wide = F.linear(normed, get(name + "fn.net.0.weight"), get(name + "fn.net.0.bias"))
        wide = F.gelu(wide, approximate="tanh")
        hidden = hidden + F.linear(wide, get(name + "fn.net.3.weight"), get(name + "fn.net.3.bias"))
    return F.normalize(hidden[:, 0], dim=-1)


def sample(count, frames):
    """The middle frame of each part; a short clip whole, padded with its last frame."""
    if count > frames:
        tick = count / float(frames)
        return [int(tick / 2.0 + tick * i) for i in range(frames)]
    return np.pad(np.arange(count), (0, frames - count), "edge").tolist()


generator = torch.Generator().manual_seed(11)
named = weights(generator)
frames = normal((BATCH, FRAMES, WIDTH), generator, 2.0)
filled = [6, 4, 2, 1]
path = folder("temporal", __file__, NOTE)
save(path / "weights.safetensors", named)
whole = {"module." + name: value for name, value in named.items()}
whole |= {"module.image_encoder.proj": torch.zeros(2, 2), "module.image_encoder.steps": torch.tensor(3)}
torch.save({"epoch": 1, "state_dict": whole}, path / "model.pth")
save(
    path / "expected.safetensors",
    {
        "frames": frames,
        "full": forward(named, frames, [FRAMES] * BATCH),
        "filled": torch.tensor(filled),
        "masked": forward(named, frames, filled),
    },
)
save_json(
    path / "config.json",
    {"frames": FRAMES, "layers": LAYERS, "heads": HEADS, "headWidth": HEAD, "hidden": HIDDEN},
)
cases = [(1, 1), (1, 16), (5, 16), (16, 16), (17, 16), (31, 16), (100, 16), (1000, 16), (10, 4), (7, 3), (64, 1), (65, 64)]
save_json(path / "samples.json", [[count, frames, sample(count, frames)] for count, frames in cases], indent=None)
