"""Writes fixture metd: both training stages of CLIPER on seeded inputs, their gradients and one AdamW step, by PyTorch.

Run: python tests/reference/metd.py (after bert.py and clip_checkpoint.py)
Used: torch 2.15.0, transformers 5.24.0, safetensors 0.8.0.
"""
import json

import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import BertConfig, BertModel, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from cliper_loss import total
from fixture import FIXTURES, folder, normal, randomise, save, save_json

C, K, M, B = 3, 2, 3, 10
TEMPERATURE = 0.01
# High enough that a step shows in f32 (5e-6 would be less than its rounding), with stage 2's weight decay.
RATE, DECAY = 0.01, 0.1
NOTE = f"""
Both stages of CLIPER in f64 from f32 inputs, {C} expressions with {K} descriptors of {M} learned tokens, {B} samples, temperature
{TEMPERATURE}, AdamW at rate {RATE}.
`clip.safetensors`, `bert.safetensors`: stage 1 through the text towers of fixtures `clip_hugging_face` and `bert`. Inputs: `tokens`
[{C * K},{M},width], `ids` [1,prompt] (the prompt, 7 in the learned places), `first` [1,1] (the first of them), `pictures`
[{B},joint width] (unit length), `labels` [{B},1]. Outputs: `embeddings` [{C * K},joint width] (unit length), `loss`, `alpha`, `gradient` and
`change` (one AdamW step without weight decay) of the tokens; `nearest` and `distances` [{C * K * M},5]: ids of the token embedding
table by Euclidean distance.
`image.safetensors`: stage 2 of a random `transformers.CLIPVisionModelWithProjection`, its sizes in `config.json`, its values in
`weights.safetensors`. Inputs: `pixels`, `descriptors` [{C * K},12], `labels`. Outputs: `loss`, `alpha`, and for every parameter `gradient.NAME` and `change.NAME` (one AdamW step, weight decay {DECAY}).
`rates.safetensors`: `rates` [25,4]: CosineAnnealingWarmRestarts(T_0=10) from 1, four steps an epoch.
"""
path = folder("metd", __file__, NOTE)


def scores(pictures, descriptors):
    cosines = F.normalize(pictures, dim=1) @ F.normalize(descriptors, dim=1).T
    return (cosines / TEMPERATURE).view(len(pictures), C, K)


def step(parameters, decay):
    """How much one AdamW step changes each parameter."""
    before = {name: value.detach().clone() for name, value in parameters.items()}
    torch.optim.AdamW(parameters.values(), lr=RATE, weight_decay=decay).step()
    return {name: value.detach() - before[name] for name, value in parameters.items()}


def stage_1(name, width, joint, ids, embed, table, seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = normal((C * K, M, width), generator, 0.3)
    pictures = F.normalize(normal((B, joint), generator), dim=1)
    labels = torch.tensor([0, 1, 0, 2, 2, 0, 1, 0, 2, 0])
    first = ids.index(7)
    learned = tokens.double().requires_grad_()
    words = table[torch.tensor(ids)].repeat(C * K, 1, 1)
    words = torch.cat([words[:, :first], learned, words[:, first + M:]], 1)
    embeddings = F.normalize(embed(words), dim=1)
    loss, alpha = total(scores(pictures.double(), embeddings), labels)
    loss.backward()
    distances, nearest = torch.cdist(tokens.double().view(-1, width), table).topk(5, dim=1, largest=False)
    change = step({"tokens": learned}, 0.0)["tokens"]
    print(name, loss.item(), alpha.tolist())
    save(path / f"{name}.safetensors", {
        "tokens": tokens, "ids": torch.tensor([ids]), "first": torch.tensor([[first]]), "pictures": pictures,
        "labels": labels.view(-1, 1), "embeddings": embeddings, "loss": loss.view(1), "alpha": alpha,
        "gradient": learned.grad, "change": change, "nearest": nearest, "distances": distances,
    })


def clip():
    model = CLIPModel.from_pretrained(FIXTURES / "clip_hugging_face", attn_implementation="eager").eval().double()
    ids = [118, 21, 40, 33, 7, 7, 7, 12, 119]
    table = model.text_model.embeddings.token_embedding.weight.detach()

    def embed(words):
        # CLIPTextModel takes no embeddings: what its table answers is replaced.
        hook = model.text_model.embeddings.token_embedding.register_forward_hook(lambda *_: words)
        pooled = model.text_model(input_ids=torch.tensor([ids] * len(words))).pooler_output
        hook.remove()
        return model.text_projection(pooled)

    stage_1("clip", 32, 24, ids, embed, table, seed=21)


def bert():
    config = json.loads((FIXTURES / "bert/config.json").read_text())
    model = BertModel(BertConfig(**config, attn_implementation="eager"), add_pooling_layer=False).eval()
    model.load_state_dict(load_file(FIXTURES / "bert/weights.safetensors"), strict=False)
    model = model.double()
    ids = [2, 21, 40, 33, 7, 7, 7, 12, 3]
    table = model.embeddings.word_embeddings.weight.detach()

    def embed(words):
        return model(inputs_embeds=words, attention_mask=torch.ones(words.shape[:2])).last_hidden_state.mean(1)

    stage_1("bert", 32, 32, ids, embed, table, seed=22)


def stage_2():
    generator = torch.Generator().manual_seed(23)
    config = {"side": 16, "channels": 3, "stem": [], "patch": 8, "width": 16, "layers": 1, "heads": 2,
              "activation": "quickGelu", "embedding": 12}
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=config["width"], intermediate_size=4 * config["width"], projection_dim=config["embedding"],
        num_hidden_layers=config["layers"], num_attention_heads=config["heads"], num_channels=config["channels"],
        image_size=config["side"], patch_size=config["patch"], hidden_act="quick_gelu", attn_implementation="eager",
    )).eval()
    randomise(model, generator)
    weights = {k: v.clone() for k, v in model.state_dict().items() if not k.endswith("position_ids")}
    save(path / "weights.safetensors", weights)
    save_json(path / "config.json", config)
    model = model.double()
    pixels = normal((B, 3, config["side"], config["side"]), generator)
    descriptors = normal((C * K, config["embedding"]), generator)
    labels = torch.tensor([0, 1, 0, 2, 2, 0, 1, 0, 2, 0])
    loss, alpha = total(scores(model(pixel_values=pixels.double()).image_embeds, descriptors.double()), labels)
    loss.backward()
    parameters = dict(model.named_parameters())
    gradients = {f"gradient.{name}": value.grad.clone() for name, value in parameters.items()}
    changes = {f"change.{name}": value for name, value in step(parameters, DECAY).items()}
    print("image", loss.item(), alpha.tolist())
    save(path / "image.safetensors", {
        "pixels": pixels, "descriptors": descriptors, "labels": labels.view(-1, 1), "loss": loss.view(1), "alpha": alpha,
        **gradients, **changes,
    })


def rates():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10)
    rows = []
    for epoch in range(25):
        for part in range(4):
            schedule.step(epoch + part / 4)
            rows.append(optimizer.param_groups[0]["lr"])
    save(path / "rates.safetensors", {"rates": torch.tensor(rows).view(25, 4)})


clip()
bert()
stage_2()
rates()
