"""One picture from a file, as a data set sees it: the right way up, on white, 8 bits deep.

Invariant: what a viewer shows is what is certified. A picture is turned as its EXIF orientation says, and what is
transparent shows a white background; a picture without either keeps its very pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from rsuq_cli.errors import BadInput

EIGHT_BIT_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
ON_WHITE = "pictures with transparent parts are put on white"
_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_ON_THEIR_SIDE = (5, 6, 7, 8)  # EXIF orientations that turn a picture by a quarter


class Header(NamedTuple):
    """What an image file says of itself; `size` is (width, height) as it is shown."""

    mode: str
    size: tuple[int, int]


class Picture(NamedTuple):
    """A decoded picture, "L" or "RGB", and whether any of it was transparent."""

    image: Image.Image
    transparent: bool


def read_header(path: Path) -> Header:
    """Returns what can be known before the pixels are decoded; raises BadInput as `read_picture` does."""
    try:
        with Image.open(path) as file:
            sideways = file.getexif().get(ExifTags.Base.Orientation) in _ON_THEIR_SIDE
            header = Header(file.mode, file.size[::-1] if sideways else file.size)
    except Exception as error:  # Pillow's decoders raise whatever their parsers do, OSError to struct.error
        raise _undecodable(path, error) from error
    _check_mode(path, header.mode)
    return header


def read_picture(path: Path, channels: int) -> Picture:
    """Returns the picture in `path` in grey (1 channel) or RGB (3), turned and put on white where it needs it.

    Raises BadInput for a file that does not decode, and for pixels of more than 8 bits.
    """
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(path) as file:
            _check_mode(path, file.mode)
            # Before anything is converted, which forgets the orientation.
            upright = file.getexif().get(ExifTags.Base.Orientation, 1) == 1
            turned = file if upright else ImageOps.exif_transpose(file)
            on_white = _on_white(turned)
            turned.info.pop("transparency", None)  # nothing shows through, and Pillow would warn that it drops it
            return Picture((on_white or turned).convert(mode), on_white is not None)
    except BadInput:
        raise
    except Exception as error:  # as in read_header
        raise _undecodable(path, error) from error


def _on_white(image: Image.Image) -> Image.Image | None:
    """Returns a picture on a white background; None where none of it is transparent."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return None
    layered = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    lowest, _ = layered.getchannel("A").getextrema()
    if lowest == 255:
        return None
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)


def _check_mode(path: Path, mode: str) -> None:
    # Pillow converts deeper pixels by cutting them off at 255: a white image instead of the user's.
    if mode not in EIGHT_BIT_MODES:
        raise BadInput(
            f"{path} has pixels of more than 8 bits (mode {mode})", "convert it to 8 bits, or to floats in npy or npz"
        )


def _undecodable(path: Path, error: Exception) -> BadInput:
    if isinstance(error, UnidentifiedImageError):
        reason = "its format is not known"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
    return BadInput(f"{path} does not decode as an image: {reason}", "replace the file, or take it out of the data")
