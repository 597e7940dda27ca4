"""Teaches a small sentence encoder where a bundle's faces lie: the text side that `cargo pkg pack --text` takes.

    python pkg-build/text-side/train.py --run RUN --encoder MINILM --output FOLDER

RUN is a run of `cargo pkg train metd --shapes`: its moments.safetensors says how face shapes and embeddings of the training
faces go together, so no picture is needed here. MINILM is a folder of all-MiniLM-L6-v2 (config.json, tokenizer.json,
model.safetensors), as `cargo pkg describe` keeps it. Needs PyTorch, safetensors, tokenizers and NumPy. Resumable: FOLDER/state.pt holds
the last epoch; the same seed gives the same run.

What is learned: the first layers of MiniLM and a projection onto the movements' directions, by 1 - r over the bound, where r is the
correlation, over the training faces, of the similarity with a sentence and of what the sentence says that the face does, and by the
sentence's annotation itself. Word vectors are cut to RANK dimensions and stay as they were, so that words in no sentence keep their
place beside their neighbours. Matrices are stored in 8 bits with one scale a row.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

HERE = Path(__file__).parent
LAYERS, RANK, WIDTH, HEADS, POSITIONS = 3, 128, 384, 12, 64
# Words of the vocabulary that are kept beside those of the sentences: it is ordered by how frequent they are.
FREQUENT = 18000
OPENINGS = ["a face with ", "the face shows ", "someone with ", "a photo of a person: ", "this person has "]
JOINTS = [", ", " and ", "; ", ". ", " with "]
# Axes of the similarities' spread that are kept: the others hold 1 % of it.
AXES = 48


class Moments:
    """How movements' ranks and embeddings go together over the training faces."""

    def __init__(self, run):
        with safe_open(run / "moments.safetensors", "pt") as file:
            self.names = json.loads(file.metadata()["names"])
            self.backbone = file.metadata()["backbone"]
            get = lambda name: file.get_tensor(name).float()
            self.targets, self.ranks, self.mean = get("targets"), get("ranks"), get("mean")
            covariance = get("covariance")
        self.spread = covariance + 3e-6 * torch.eye(len(covariance))
        self.directions = torch.linalg.solve(self.spread, self.targets.T).T

    def correlation(self, embeddings, movements):
        covariance = (embeddings * (movements @ self.targets)).sum(1)
        variance = ((embeddings @ self.spread) * embeddings).sum(1).clamp_min(1e-12)
        return covariance / torch.sqrt(variance * ((movements @ self.ranks) * movements).sum(1))

    def bound(self, movements):
        """What the best direction for these movements reaches."""
        return self.correlation(movements @ self.directions, movements)


class Layer(nn.Module):
    """One of BERT's: post-norm."""

    def __init__(self, weights, index, dropout):
        super().__init__()
        name = f"encoder.layer.{index}."
        matrix = lambda part: linear(weights, name + part)
        self.query, self.key, self.value = (matrix(f"attention.self.{part}") for part in ("query", "key", "value"))
        self.out, self.first, self.second = matrix("attention.output.dense"), matrix("intermediate.dense"), matrix("output.dense")
        self.attention_norm, self.norm = norm(weights, name + "attention.output.LayerNorm"), norm(weights, name + "output.LayerNorm")
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden, mask):
        heads = lambda rows: rows.unflatten(2, (HEADS, -1)).transpose(1, 2)
        queries, keys, values = heads(self.query(hidden)), heads(self.key(hidden)), heads(self.value(hidden))
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None, None]).transpose(1, 2).flatten(2)
        hidden = self.attention_norm(hidden + self.dropout(self.out(attended)))
        return self.norm(hidden + self.dropout(self.second(F.gelu(self.first(hidden)))))


def linear(weights, name):
    layer = nn.Linear(*reversed(weights[f"{name}.weight"].shape))
    layer.load_state_dict({part: weights[f"{name}.{part}"].float() for part in ("weight", "bias")})
    return layer


def norm(weights, name):
    layer = nn.LayerNorm(WIDTH, eps=1e-12)
    layer.load_state_dict({part: weights[f"{name}.{part}"].float() for part in ("weight", "bias")})
    return layer


class TextSide(nn.Module):
    def __init__(self, weights, movements, dropout=0.1):
        super().__init__()
        words = weights["embeddings.word_embeddings.weight"].float()
        left, sizes, right = torch.linalg.svd(words, full_matrices=False)
        self.words = nn.Embedding.from_pretrained(left[:, :RANK] * sizes[:RANK])
        self.widen = nn.Linear(RANK, WIDTH, bias=False)
        self.widen.weight.data = right[:RANK].T.contiguous()
        places = weights["embeddings.position_embeddings.weight"][:POSITIONS] + weights["embeddings.token_type_embeddings.weight"][0]
        self.register_buffer("places", places.float())
        self.norm = norm(weights, "embeddings.LayerNorm")
        self.layers = nn.ModuleList([Layer(weights, index, dropout) for index in range(LAYERS)])
        self.movements = nn.Linear(WIDTH, movements)
        nn.init.normal_(self.movements.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids, mask):
        hidden = self.dropout(self.norm(self.widen(self.words(ids)) + self.places[: ids.shape[1]]))
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return self.movements((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def read_sentences(file, names):
    place = {name: index for index, name in enumerate(names)}
    sentences = []
    for line in file.read_text().splitlines():
        entry, movements = json.loads(line), np.zeros(len(names), np.float32)
        for name, weight in entry["movements"].items():
            movements[place[name]] = weight
        sentences.append((entry["text"], movements))
    return sentences


def batch(tokenizer, texts):
    rows = [torch.tensor(tokenizer.encode(text).ids[:POSITIONS]) for text in texts]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
    return ids, mask


def vary(random, row, sentences):
    """A sentence as it is, with an opening, or joined to another."""
    text, movements = row
    if random.random() < 0.3:
        other, more = sentences[random.integers(len(sentences))]
        joined = np.clip(movements + more, -1, 1)
        if np.abs(joined).sum():
            text, movements = text.rstrip(".") + JOINTS[random.integers(len(JOINTS))] + other, joined
    chance = random.random()
    if chance < 0.25:
        text = OPENINGS[random.integers(len(OPENINGS))] + text
    elif chance < 0.5:
        text = text.rstrip(".")
    return text, movements


def train(options, moments, weights, tokenizer):
    sentences = read_sentences(options.sentences, moments.names)
    torch.manual_seed(options.seed)
    net = TextSide(weights, len(moments.names))
    head = list(net.movements.parameters())
    rest = [value for name, value in net.named_parameters() if not name.startswith(("movements", "words"))]
    optimizer = torch.optim.AdamW([{"params": head, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.05}])
    steps = len(sentences) // options.batch
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, [2e-3, options.rate], total_steps=options.epochs * steps + 1, pct_start=0.1)
    state, done = options.output / "state.pt", 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"]), optimizer.load_state_dict(saved["optimizer"]), rates.load_state_dict(saved["rates"])
        done = saved["epochs"]
        print(f"going on after {done} epochs")
    for epoch in range(done, options.epochs):
        random, total = np.random.default_rng([options.seed, epoch]), 0.0
        torch.manual_seed(options.seed * 1000 + epoch)
        net.train()
        for chosen in random.permutation(len(sentences))[: steps * options.batch].reshape(steps, -1):
            texts, movements = zip(*(vary(random, sentences[index], sentences) for index in chosen))
            movements = torch.tensor(np.stack(movements))
            found = net(*batch(tokenizer, texts))
            followed = moments.correlation(found @ moments.directions, movements) / moments.bound(movements).clamp_min(0.05)
            loss = (1 - followed).mean() + F.mse_loss(found, movements)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            rates.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{options.epochs}: loss {total / steps:.4f}", flush=True)
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "rates": rates.state_dict(), "epochs": epoch + 1}, state)
    return net.eval()


def export(net, moments, tokenizer, sentences, output):
    """Writes text.safetensors, matrices in 8 bits, and text.json."""
    description = json.loads(tokenizer.to_str())
    vocabulary = description["model"]["vocab"]
    used = {id for text in sentences for id in tokenizer.encode(text).ids}
    special = {token["id"] for token in description["added_tokens"]}
    plain = lambda word: word.isascii() and not word.startswith("[unused")
    words = sorted(vocabulary, key=vocabulary.get)
    kept = [word for word in words if vocabulary[word] in used | special or (plain(word) and (vocabulary[word] < FREQUENT or len(word.lstrip("#")) == 1))]
    old = [vocabulary[word] for word in kept]
    new = {word: index for index, word in enumerate(kept)}
    description["model"]["vocab"] = new
    for token in description["added_tokens"]:
        token["id"] = new[token["content"]]
    for name, token in description["post_processor"].get("special_tokens", {}).items():
        token["ids"] = [new[name]]
    description["padding"] = description["truncation"] = None

    tensors, state = {}, net.state_dict()

    def put(name, values):
        """A matrix in 8 bits with one scale a row; the rest in f16."""
        if values.dim() == 2 and name != "embeddings.position_embeddings.weight":
            scales = values.abs().amax(1).clamp_min(1e-12) / 127
            tensors[name], tensors[f"{name}.scales"] = torch.round(values / scales[:, None]).to(torch.int8), scales.float()
        else:
            tensors[name] = values.half()

    put("embeddings.word_embeddings.weight", state["words.weight"][old])
    put("embeddings.word_projection.weight", state["widen.weight"])
    tensors["embeddings.position_embeddings.weight"] = state["places"].half()
    tensors["embeddings.token_type_embeddings.weight"] = torch.zeros(2, WIDTH).half()
    for part in ("weight", "bias"):
        put(f"embeddings.LayerNorm.{part}", state[f"norm.{part}"])
        for index in range(LAYERS):
            ours, theirs = f"layers.{index}", f"encoder.layer.{index}"
            for one, other in {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
                               "out": "attention.output.dense", "first": "intermediate.dense", "second": "output.dense",
                               "attention_norm": "attention.output.LayerNorm", "norm": "output.LayerNorm"}.items():
                put(f"{theirs}.{other}.{part}", state[f"{ours}.{one}.{part}"])
    # From hidden tokens straight to the joint space: movements, then the sum of their directions, of a size that 8 bits hold well.
    size = moments.directions.norm(dim=1).mean()
    tensors["projection.weight"] = (moments.directions.T @ state["movements.weight"] / size).float()
    tensors["projection.bias"] = (moments.directions.T @ state["movements.bias"] / size).float()
    values, vectors = torch.linalg.eigh(moments.spread.double())
    tensors["faces.mean"] = moments.mean
    tensors["faces.spread"] = (vectors[:, -AXES:] * values[-AXES:].clamp_min(0).sqrt()).T.float()
    output.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, output / "text.safetensors", {"backbone": moments.backbone})
    config = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH,
              "vocab_size": len(kept), "max_position_embeddings": POSITIONS, "layer_norm_eps": 1e-12, "word_rank": RANK,
              "embedding": moments.directions.shape[1]}
    (output / "text.json").write_text(json.dumps({"config": config, "tokenizer": description}, ensure_ascii=False))
    print(f"{len(kept)} words, {(output / 'text.safetensors').stat().st_size} bytes in {output}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--run", type=Path, required=True)
    options.add_argument("--encoder", type=Path, required=True)
    options.add_argument("--sentences", type=Path, default=HERE / "sentences.jsonl")
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--epochs", type=int, default=15)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--rate", type=float, default=3e-4)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    for file in (options.run / "moments.safetensors", options.encoder / "model.safetensors", options.sentences):
        if not file.is_file():
            raise SystemExit(f"{file} is missing; see --help for what it is")
    options.output.mkdir(parents=True, exist_ok=True)
    moments, weights = Moments(options.run), load_file(options.encoder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(options.encoder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    net = train(options, moments, weights, tokenizer)
    export(net, moments, tokenizer, [text for text, _ in read_sentences(options.sentences, moments.names)], options.output)


if __name__ == "__main__":
    main()
