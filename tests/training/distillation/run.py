"""Tests pkg-build/training-gpu: makes a Python environment with the pinned packages, once, and runs every test in it.

    python3 tests/training/distillation/run.py [NAME ...]

Pins are those of tests/reference/requirements.txt. PyTorch's CUDA wheel is what PyPI has; where download.pytorch.org can be reached,
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes its smaller one. CLIPER_FACE_API, a folder with face-api's model, and
CLIPER_PKG, the program of `cargo pkg`, add what is tested with them.
"""
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = HERE.parents[1] / "reference/requirements.txt"
PACKAGES = ["numpy", "pillow", "safetensors", "torch"]


def main():
    pinned = hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    place = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cliper" / f"training-gpu-{pinned}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (place / "ready").is_file():
        print(f"installing {', '.join(PACKAGES)} into {place}", flush=True)
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES, "--constraint", PINS], check=True)
        (place / "ready").touch()
    named = sys.argv[1:] or ["discover", "--start-directory", str(HERE), "--pattern", "test_*.py"]
    # Tests compare numbers that the count of threads moves in the last digit.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    raise SystemExit(subprocess.run([python, "-m", "unittest", *named, "--verbose"], env=environment).returncode)


if __name__ == "__main__":
    main()
