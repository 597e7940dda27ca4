"""What PyTorch makes of sentences by the built-in model's text side: tests/fixtures/text_side/embeddings.json.

    python tests/reference/text_side.py

BERT's blocks, the mean over tokens and the projection, from the files in pkg-build/models/ferplus-small as they are shipped.
"""
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "pkg-build/models/ferplus-small"
SENTENCES = ["lips parted a little", "the teeth can be seen", "glancing to one side", "brows drawn together",
             "Eyes shut; the mouth is not open.", "crow's feet beside narrowed eyes, and a wide smile",
             "the inner ends of both eyebrows are pulled upward while the corners of the mouth point down"]

description = json.loads((MODEL / "text.json").read_text())
tokenizer = Tokenizer.from_str(json.dumps(description["tokenizer"]))
heads, layers = description["config"]["num_attention_heads"], description["config"]["num_hidden_layers"]
stored = load_file(MODEL / "text.safetensors")
weights = {name: stored[name].float() * stored[f"{name}.scales"][:, None] if f"{name}.scales" in stored else stored[name].float()
           for name in stored if not name.endswith(".scales")}


def linear(name, rows):
    return F.linear(rows, weights[f"{name}.weight"], weights[f"{name}.bias"])


def norm(name, rows):
    return F.layer_norm(rows, rows.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"],
                        description["config"]["layer_norm_eps"])


def embed(sentence):
    ids = torch.tensor(tokenizer.encode(sentence).ids)
    hidden = F.linear(weights["embeddings.word_embeddings.weight"][ids], weights["embeddings.word_projection.weight"])
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: len(ids)] + weights["embeddings.token_type_embeddings.weight"][0]
    hidden = norm("embeddings.LayerNorm", hidden)
    for layer in range(layers):
        name = f"encoder.layer.{layer}."
        query, key, value = (linear(f"{name}attention.self.{part}", hidden).unflatten(1, (heads, -1)).transpose(0, 1)
                             for part in ("query", "key", "value"))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1)
        hidden = norm(f"{name}attention.output.LayerNorm", hidden + linear(f"{name}attention.output.dense", attended))
        wide = F.gelu(linear(f"{name}intermediate.dense", hidden))
        hidden = norm(f"{name}output.LayerNorm", hidden + linear(f"{name}output.dense", wide))
    return F.normalize(linear("projection", hidden.mean(0)), dim=0)


embeddings = [[round(value, 8) for value in embed(sentence).tolist()] for sentence in SENTENCES]
folder = ROOT / "tests/fixtures/text_side"
folder.mkdir(exist_ok=True)
(folder / "embeddings.json").write_text(json.dumps({"sentences": SENTENCES, "embeddings": embeddings}))
