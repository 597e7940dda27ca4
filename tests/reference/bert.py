"""Writes fixture bert: a tiny seeded BERT with masked mean pooling and L2 norm, as sentence encoders use it.

Run: python tests/reference/bert.py
Used: torch 2.15.0, transformers 5.24.0, safetensors 0.8.0.
"""
import torch
from transformers import BertConfig, BertModel

from fixture import folder, randomise, save, save_json

CONFIG = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
          "vocab_size": 100, "max_position_embeddings": 20, "type_vocab_size": 2, "hidden_act": "gelu",
          "layer_norm_eps": 1e-12}
NOTE = """
`weights.safetensors`: a random `transformers.BertModel` without pooler, sizes in `config.json` (its own names).
`expected.safetensors`: `ids`, `mask` [2,7] (the second row is padded; token types are all 0), `hidden` [2,7,32] (the last
layer; rows past the mask carry no meaning) and `embedding` [2,32]: the mean over the mask, then L2 norm; computed in f64.
"""

generator = torch.Generator().manual_seed(5)
model = BertModel(BertConfig(**CONFIG, attn_implementation="eager"), add_pooling_layer=False).eval()
randomise(model, generator)
weights = {k: v.clone() for k, v in model.state_dict().items() if v.is_floating_point()}
ids = torch.tensor([[2, 17, 54, 99, 8, 31, 3], [2, 71, 40, 3, 0, 0, 0]])
mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
with torch.no_grad():
    hidden = model.double()(input_ids=ids, attention_mask=mask).last_hidden_state
m = mask.unsqueeze(2)
embedding = torch.nn.functional.normalize((hidden * m).sum(1) / m.sum(1), dim=1)
path = folder("bert", __file__, NOTE)
save(path / "weights.safetensors", weights)
save(path / "expected.safetensors", {"ids": ids, "mask": mask, "hidden": hidden, "embedding": embedding})
save_json(path / "config.json", CONFIG)
