"""Scene -> everyone's box, and which parts of the picture belong to whom.

boxes arranges people, over relations (who is left of whom), camera, spacing and side_by_side; regions come after.
"""

from .boxes import layout
from .regions import regions

__all__ = ["layout", "regions"]
