"""Which way of drawing leaks least on a model trained on whole prompts alone, without costing accuracy or quality?

    ./run mini train --world leaky --start mini/weights --anew --out LEAKY
    python benchmarks/gentle.py --weights LEAKY --out FOLDER --json FILE

Needs no host: torch, numpy, cv2, lxml, safetensors and sentencepiece. Prints a row an arm, and at last what it chose;
writes the rows into FILE, and table.md, contact sheets and what the judge saw into FOLDER, from which --again counts.
The parts: gentle_arms.py (the candidates), gentle_choice.py (search and rule), gentle_run.py (the whole).
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
    importlib.import_module(f"{inside.PACKAGE}.benchmarks.gentle_run").main()


if __name__ == "__main__":
    main()
