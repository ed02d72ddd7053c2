"""JPEG files whose pixels are known."""

from __future__ import annotations

import io

from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def jpeg(
    size: int, left: tuple[int, int, int] = RED, right: tuple[int, int, int] | None = None
) -> bytes:
    """A square of one colour, or of two halves."""
    image = Image.new("RGB", (size, size), right or left)
    image.paste(left, (0, 0, size // 2, size))
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()
