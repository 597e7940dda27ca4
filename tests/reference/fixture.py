"""What every reference script shares: where fixtures lie, seeded values, and how they are written.

Not run by itself. Used: torch 2.15.0, safetensors 0.8.0, numpy 2.4.6.
"""
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


def folder(name, script, text):
    """The folder of fixture `name`, made, with a note of what wrote it."""
    path = FIXTURES / name
    path.mkdir(parents=True, exist_ok=True)
    note = f"Written by `tests/reference/{Path(script).name}`; do not edit by hand.\n\n{text.strip()}\n"
    (path / "README.md").write_text(note, encoding="utf-8")
    return path


def normal(shape, generator, scale=1.0):
    """Seeded normal values that are exact in f32."""
    return torch.randn(shape, generator=generator, dtype=torch.float32) * scale


@torch.no_grad()
def randomise(model, generator):
    """Gives every parameter values large enough that leaving it out would show."""
    for name, value in model.named_parameters():
        if value.dim() == 1 and "norm" in name.lower() and name.endswith("weight"):
            new = 1.0 + normal(value.shape, generator, 0.3)
        elif value.dim() == 1 or "embedding.weight" in name and value.dim() == 2 or "embeddings.weight" in name:
            new = normal(value.shape, generator, 0.5)
        else:
            new = normal(value.shape, generator, 1.5 * value[0].numel() ** -0.5)
        value.copy_(new)


def save(path, tensors):
    """Writes floats as f32 and whole numbers as i64."""
    save_file(
        {
            name: value.detach().to(torch.float32 if value.is_floating_point() else torch.int64).contiguous()
            for name, value in tensors.items()
        },
        path,
    )
    path.chmod(0o644)


def save_json(path, value, indent=2):
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
