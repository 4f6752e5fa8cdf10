"""Does every character get its own attributes, place and colours? The built-in model by several ways of conditioning.

    python benchmarks/binding.py --weights mini/weights --count 300 --out FOLDER --json FILE [--arms stock strict ...]

Needs no host: torch, numpy, cv2, lxml, safetensors and sentencepiece. Writes one JSON object a row to FILE, and into
FOLDER table.md, contact sheets, and what the judge saw, from which --again makes the rows anew without drawing.
The parts: binding_scenes.py (what is drawn), binding_arms.py (how), binding_measures.py (what is counted),
binding_run.py (the whole).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    sys.path.append(str(root / "client"))
    inside = importlib.import_module("inside")  # the folder's own name need not be a Python name
    sys.path.pop()
    inside.load_pack(root)
    importlib.import_module(f"{inside.PACKAGE}.benchmarks.binding_run").main()


if __name__ == "__main__":
    main()
