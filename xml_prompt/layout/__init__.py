"""Scene -> everyone's box on the 0..1000 grid, and which parts of the picture belong to whom.

boxes.layout goes through these steps; the result depends on the scene and the picture's aspect alone.

1. Places (places). What everyone says of where it stands, and in relation to whom. Contradictions are errors. Stated
   boxes are taken exactly; all others are laid out around them.
2. Shapes (side_by_side). A box is as wide as 0.64 of its height where there is room, and as slim as a third where
   there is little. `chibi` makes it squatter, full-body words taller; close-ups are larger and cut by the picture's
   lower edge.
3. Rows (boxes). All people make one row, unless some are said to be above or below others.
4. Ranks (side_by_side). Up to four stand beside each other. More stand in staggered ranks, each
   higher than the nearer one: of all formations, the one that fills the picture best. Who differs from the others, or
   does something with one of them, stands apart: in front, with nobody behind.
5. In a row (side_by_side). Everyone has the place that its words, or the even spread, ask for; what is laid out is the
   arrangement nearest to these places in which nobody overlaps. People get narrower until they fit and the words are
   obeyed, then as tall as the picture and their shapes allow. A stated spacing is kept exactly.
6. Who does something together moves closer (side_by_side.pulled).
7. Feet (boxes). People stand on the ground, but for words of height and depth; edges are rounded to the grid.
8. Regions (boxes). To a character belong its boxes, and the gaps that its interactions open.
"""

from .boxes import layout, regions

__all__ = ["layout", "regions"]
