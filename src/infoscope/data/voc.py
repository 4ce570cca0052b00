"""Folders in the layout of Pascal VOC: images in `JPEGImages`, their objects in `Annotations`, one XML file each.

Everingham et al., "The PASCAL visual object classes challenge 2007 (VOC2007)", development kit, section 4. Pixels count
from 1 there, and a box includes those that it names: its left edge lies at xmin − 1, its right edge at xmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np

from infoscope.data.raw import Raw, Reading
from infoscope.data.targets import Boxes

_IMAGES, _ANNOTATIONS = "JPEGImages", "Annotations"
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class _Object:
    kind: str
    box: tuple[float, float, float, float]
    """xmin, ymin, xmax, ymax as they stand in the file."""


def is_voc(folder: Path) -> bool:
    """Whether a folder has the layout."""
    return (folder / _ANNOTATIONS).is_dir() and (folder / _IMAGES).is_dir()


def read(folder: Path, reading: Reading) -> Raw:
    """The images of a VOC folder, in the order of their names, and their boxes (see `infoscope.data.targets.Boxes`).

    The alphabet is the names of all objects, sorted. Objects marked as difficult or truncated count like others.
    """
    files = sorted((folder / _ANNOTATIONS).glob("*.xml"))
    if not files:
        raise ValueError(f"{folder / _ANNOTATIONS}: holds no .xml file; put one there for each image")
    found = [_objects(file) for file in files]
    words = tuple(sorted({one.kind for objects in found for one in objects}))
    if not words:
        raise ValueError(f"{folder}: none of {len(files)} annotations names an object; there is nothing to learn")
    images, boxes = [], []
    for file, objects in zip(files, found, strict=True):
        image, sides = _image(_image_of(file, folder / _IMAGES), reading.size)
        images.append(image)
        boxes.append([_row(one, words, sides, file) for one in objects])
    if len(shapes := {image.shape for image in images}) > 1:
        raise ValueError(f"{folder}: images of {len(shapes)} different sizes; say which to scale them to (size=96)")
    return Raw(np.stack(images).transpose(0, 3, 1, 2), boxes, Boxes(words))


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type before its entities are read: a few lines of them can unfold to gigabytes."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ValueError("it declares a document type, which annotations have no use for; delete the declaration")


def _objects(file: Path) -> list[_Object]:
    return [_object(node, file) for node in _root(file).findall("object")]


def _root(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(file.read_bytes(), ElementTree.XMLParser(target=_NoDoctype()))
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding without a name
        raise ValueError(f"{file}: cannot be read as an annotation: {error}") from error


def _object(node: ElementTree.Element, file: Path) -> _Object:
    kind, box = (node.findtext("name") or "").strip(), node.find("bndbox")
    if not kind or box is None:
        raise ValueError(f"{file}: an object lacks its {'bndbox' if kind else 'name'}; add it or delete the object")
    try:
        xmin, ymin, xmax, ymax = (float(box.findtext(side) or "") for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError as error:
        raise ValueError(f"{file}: the box of {kind!r} lacks a number among xmin, ymin, xmax, ymax; add it") from error
    return _Object(kind, (xmin, ymin, xmax, ymax))


def _image_of(file: Path, images: Path) -> Path:
    """The image that shares the annotation's name."""
    for suffix in _SUFFIXES:
        if (image := images / (file.stem + suffix)).is_file():
            return image
    raise ValueError(f"{file}: there is no image {images / file.stem} ({', '.join(_SUFFIXES)}); add it or delete this")


def _image(file: Path, size: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """The image as (height, width, 3) bytes, scaled, and its own width and height."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError(f"{file}: images need pip install 'infoscope[data]'") from error
    try:
        with Image.open(file) as image:
            sides, colour = image.size, image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: cannot be read as an image ({error}); replace it") from error
    return np.asarray(colour.resize((size, size), Image.Resampling.BILINEAR) if size else colour), sides


def _row(one: _Object, words: tuple[str, ...], sides: tuple[int, int], file: Path) -> tuple[float, ...]:
    (xmin, ymin, xmax, ymax), (width, height) = one.box, sides
    left, top = max(xmin - 1, 0), max(ymin - 1, 0)  # some programs count from 0 after all
    if min(xmin, ymin) < 0 or not (left < xmax <= width and top < ymax <= height):
        raise ValueError(
            f"{file}: the box of {one.kind!r}, x from {xmin:g} to {xmax:g} and y from {ymin:g} to {ymax:g}, is empty "
            f"or lies outside the image of {width}×{height} pixels; correct it"
        )
    centre = ((left + xmax) / 2 / width, (top + ymax) / 2 / height)
    return (words.index(one.kind), *centre, (xmax - left) / width, (ymax - top) / height)
