"""Writes fixtures stem_vision and stem_training: a grey encoder with a convolutional stem, its embeddings and gradients.

Run: python tests/reference/stem_vision.py
Used: torch 2.15.0, safetensors 0.8.0.
"""
import torch
from torch import nn
from torch.nn import functional as F

from fixture import folder, normal, randomise, save, save_json

CONFIG = {"side": 24, "channels": 1, "stem": [{"channels": 8, "stride": 2}, {"channels": 12, "stride": 1}],
          "patch": 2, "width": 32, "layers": 2, "heads": 4, "activation": "gelu", "embedding": 24}
NOTE = """
`weights.safetensors`: Hugging Face's CLIP names, and `vision_model.embeddings.stem.{i}.convolution.*`.
A stem stage is Conv2d(3, stride, padding 1, bias), exact GELU.
`expected.safetensors`: `pixels` (batch, channel, y, x), `embeddings` (before L2 normalisation), `direction`, and
`gradient.<name>` of sum(embeddings * direction); computed in f64.
"""
TRAINING_NOTE = """
As stem_vision, but the patches' mean instead of a class token, and in training mode: a batch norm
(`stem.{i}.norm.*`, statistics of the batch, eps 1e-5) between each convolution and its activation.
"""
GRADIENTS = [
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.embeddings.stem.0.convolution.weight",
    "vision_model.embeddings.class_embedding",
    "vision_model.embeddings.position_embedding.weight",
    "vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "vision_model.encoder.layers.1.mlp.fc1.bias",
    "visual_projection.weight",
]


class Stage(nn.Module):
    def __init__(self, inner, outer, stride, training):
        super().__init__()
        self.convolution = nn.Conv2d(inner, outer, 3, stride, 1)
        self.norm = nn.BatchNorm2d(outer, track_running_stats=False) if training else nn.Identity()

    def forward(self, x):
        return F.gelu(self.norm(self.convolution(x)))


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        channels, side, stages = c["channels"], c["side"], []
        for stage in c["stem"]:
            stages.append(Stage(channels, stage["channels"], stage["stride"], c.get("pool") == "mean"))
            channels, side = stage["channels"], (side - 1) // stage["stride"] + 1
        self.pool = c.get("pool", "class")
        if self.pool == "class":
            self.class_embedding = nn.Parameter(torch.zeros(c["width"]))
        self.stem = nn.ModuleList(stages)
        self.patch_embedding = nn.Conv2d(channels, c["width"], c["patch"], c["patch"], bias=False)
        self.position_embedding = nn.Embedding((side // c["patch"]) ** 2 + (self.pool == "class"), c["width"])

    def forward(self, x):
        for stage in self.stem:
            x = stage(x)
        x = self.patch_embedding(x).flatten(2).transpose(1, 2)
        if self.pool == "mean":
            return x + self.position_embedding.weight
        first = self.class_embedding.expand(x.shape[0], 1, -1)
        return torch.cat([first, x], dim=1) + self.position_embedding.weight


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        b, n, w = x.shape
        q, k, v = (p(x).view(b, n, self.heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(b, n, w))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.layer_norm1, self.self_attn = nn.LayerNorm(width), Attention(width, heads)
        self.layer_norm2, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings = Embeddings(c)
        self.pre_layrnorm = nn.LayerNorm(c["width"])
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList([Layer(c["width"], c["heads"]) for _ in range(c["layers"])])
        self.post_layernorm = nn.LayerNorm(c["width"])

    def forward(self, x):
        x = self.pre_layrnorm(self.embeddings(x))
        for layer in self.encoder.layers:
            x = layer(x)
        return self.post_layernorm(x.mean(1) if self.embeddings.pool == "mean" else x[:, 0])


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.vision_model = Vision(c)
        self.visual_projection = nn.Linear(c["width"], c["embedding"], bias=False)

    def forward(self, x):
        return self.visual_projection(self.vision_model(x))


def write(name, config, gradients, note):
    generator = torch.Generator().manual_seed(3)
    model = Encoder(config)
    randomise(model, generator)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    pixels = normal((3, config["channels"], config["side"], config["side"]), generator)
    direction = normal((3, config["embedding"]), generator)
    model.double()
    embeddings = model(pixels.double())
    (embeddings * direction).sum().backward()
    parameters = dict(model.named_parameters())
    expected = {"pixels": pixels, "embeddings": embeddings, "direction": direction}
    expected.update({f"gradient.{name}": parameters[name].grad for name in gradients})
    path = folder(name, __file__, note)
    save(path / "weights.safetensors", weights)
    save(path / "expected.safetensors", expected)
    save_json(path / "config.json", config)


if __name__ == "__main__":
    write("stem_vision", CONFIG, GRADIENTS, NOTE)
    norms = ["vision_model.embeddings.stem.0.norm.weight", "vision_model.embeddings.stem.1.norm.bias"]
    training = [name for name in GRADIENTS if "class_embedding" not in name] + norms
    write("stem_training", CONFIG | {"pool": "mean"}, training, TRAINING_NOTE)
