"""Makes the pack importable as `newbie_pack`, whatever its folder is called, the way the host imports it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if "newbie_pack" not in sys.modules:
    spec = importlib.util.spec_from_file_location(
        "newbie_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["newbie_pack"] = module
    spec.loader.exec_module(module)
