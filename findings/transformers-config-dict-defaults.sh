#!/usr/bin/env bash
# Package: transformers 5.24.0.
# Guess: in CLIP's config.json `vision_config_dict` (old form) changes of `vision_config` only the values that it states.
# Behaviour: it is completed with the class's defaults first, and those too replace what `vision_config` states: a model trained with
#   the exact GELU is run with quick_gelu, at log level info only.
# Seen: vision_config says gelu; the model is built with quick_gelu
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet transformers==5.24.0
"$place/venv/bin/python" - <<'P'
from transformers import CLIPConfig

config = CLIPConfig(vision_config={"hidden_act": "gelu", "image_size": 64}, vision_config_dict={"image_size": 64})
print(f"vision_config says gelu; the model is built with {config.vision_config.hidden_act}")
assert config.vision_config.hidden_act == "quick_gelu"
P
