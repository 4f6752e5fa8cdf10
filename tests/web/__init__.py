"""A package, so that its files share a browser and its pages, which end before other tests begin."""
