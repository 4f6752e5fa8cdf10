"""NewBie XML: a ComfyUI node pack that executes the XML prompts of NewBie-image."""

from __future__ import annotations

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():  # noqa: ANN201 - the host's type, imported only where the host is
    """Called by the host; everything that needs the host is imported here, so that tests and tools can do without."""
    from .nodes import NewBieExtension

    return NewBieExtension()
