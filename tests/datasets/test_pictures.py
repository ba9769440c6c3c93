"""Pictures as a viewer shows them: turned by their EXIF orientation, transparent ones on white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.ood_sets import open_ood_set
from rsuq_cli.datasets.pictures import ON_WHITE, read_header, read_picture
from rsuq_cli.datasets.single_image import read_image
from rsuq_cli.errors import BadInput

INK = np.array([[0, 255, 128], [255, 0, 0]], dtype=np.uint8)
ON_WHITE_L = 255 - INK  # black ink of this opacity on white


def _black_ink() -> Image.Image:
    return Image.fromarray(np.dstack([np.zeros_like(INK), INK]), "LA")


def _palette(alpha: bytes | int) -> Image.Image:
    image = Image.fromarray((INK > 0).astype(np.uint8))
    image = image.convert("P")
    image.putpalette([10, 10, 10, 0, 0, 0] + [0] * 750)
    image.info["transparency"] = alpha
    return image


def _save(image: Image.Image, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_ink_in_the_alpha_channel_is_drawn_on_white(tmp_path: Path, mode: str) -> None:
    path = _save(_black_ink().convert(mode), tmp_path / "a.png")
    for channels in (1, 3):
        image, transparent = read_picture(path, channels)
        assert transparent
        assert (np.asarray(image).reshape(2, 3, channels)[..., 0] == ON_WHITE_L).all()


def test_transparency_of_a_palette_or_of_one_colour_counts(tmp_path: Path) -> None:
    image = _palette(bytes([0, 255]))
    picture = read_picture(_save(image, tmp_path / "p.png", transparency=bytes([0, 255])), 1)
    assert picture.transparent
    assert (np.asarray(picture.image) == np.where(INK > 0, 0, 255)).all()
    grey = Image.fromarray(INK)
    picture = read_picture(_save(grey, tmp_path / "l.png", transparency=0), 1)
    assert picture.transparent
    assert (np.asarray(picture.image) == np.where(INK > 0, INK, 255)).all()
    colour = grey.convert("RGB")
    picture = read_picture(_save(colour, tmp_path / "rgb.png", transparency=(128, 128, 128)), 3)
    assert picture.transparent
    assert (np.asarray(picture.image)[..., 0] == np.where(INK == 128, 255, INK)).all()


def test_an_opaque_picture_keeps_its_pixels(tmp_path: Path) -> None:
    opaque = Image.fromarray(np.dstack([INK, INK // 2, INK // 3, np.full_like(INK, 255)]), "RGBA")
    image, transparent = read_picture(_save(opaque, tmp_path / "a.png"), 3)
    assert not transparent
    assert (np.asarray(image) == np.asarray(opaque)[..., :3]).all()
    palette = _palette(255)
    image, transparent = read_picture(_save(palette, tmp_path / "p.png", transparency=255), 1)
    assert not transparent


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_it_says(tmp_path: Path, orientation: int) -> None:
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = _save(image, tmp_path / "a.png", exif=exif)
    with Image.open(path) as file:
        shown = ImageOps.exif_transpose(file)
    assert read_header(path).size == shown.size == ((6, 4) if orientation < 5 else (4, 6))
    picture = read_picture(path, 1).image
    assert (np.asarray(picture) == np.asarray(shown)).all()
    assert read_image(path, (1, *shown.size[::-1])).shape[1:] == shown.size[::-1]
    _save(image, tmp_path / "set/test/a/0.png", exif=exif)
    assert open_dataset(f"folder:{tmp_path / 'set'}").shape == (1, *shown.size[::-1])


def _folder(root: Path, ink: int, *, alpha: bool = True) -> str:
    """Makes ten pictures of one colour of ink each of whose pixels is opaque or not, by chance."""
    random = np.random.default_rng(0)
    for number in range(10):
        opacity = random.integers(0, 2, (4, 4), dtype=np.uint8) * 255
        channels = [np.full_like(opacity, ink), opacity if alpha else np.full_like(opacity, 255)]
        _save(Image.fromarray(np.dstack(channels), "LA"), root / "test" / "ab"[number % 2] / f"{number}.png")
    return f"folder:{root}"


def test_a_folder_says_once_what_it_put_on_white(tmp_path: Path) -> None:
    dataset = open_dataset(_folder(tmp_path, 0))
    said: list[str] = []
    dataset.tell(said.append)
    assert said == []
    images = dataset.load("test").images
    dataset.load("test", dataset.indices("test")[:3])
    assert said == [f"{dataset.name}: {ON_WHITE}"]
    assert len({image.numpy().tobytes() for image in images}) == 10


def test_nothing_is_said_of_opaque_pictures(tmp_path: Path) -> None:
    dataset = open_dataset(_folder(tmp_path, 0, alpha=False))
    dataset.tell(lambda line: pytest.fail(line))
    dataset.load("test")


def test_white_ink_on_nothing_is_refused(tmp_path: Path) -> None:
    name = _folder(tmp_path / "set", 255)
    with pytest.raises(BadInput, match="all alike on white"):
        open_dataset(name).load("test")


def test_a_set_from_elsewhere_and_a_single_image_say_it_too(tmp_path: Path) -> None:
    said: list[str] = []
    reference = open_dataset(_folder(tmp_path / "own", 0, alpha=False))
    name = _folder(tmp_path / "other", 0)
    open_ood_set(name, reference, count=None, made=1, image_size=None, data_dir=None, tell=said.append)
    path = _save(_black_ink(), tmp_path / "a.png")
    image = read_image(path, (1, 2, 3), tell=said.append)
    assert (image[0].numpy() == ON_WHITE_L).all()
    assert said == [f"{name}: {ON_WHITE}", f"{path}: {ON_WHITE}"]
