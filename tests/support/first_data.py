"""Data as strangers bring them, written into the current folder: odd on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

_NUM_ROWS = 120


def write_german_table(file: Path) -> None:
    """Semicolons, decimal commas, cp1252, names with spaces, dates, postal codes, missing cells, identifiers."""
    rng = np.random.default_rng(0)
    lines = ["Größe in m;Farbe des Autos;Kauf am;Preis (€);PLZ;Notiz;Kunde"]
    for row in range(_NUM_ROWS):
        size, price = rng.normal(1.7, 0.1), rng.normal(1000, 300)
        cells = [
            "k.A." if row % 17 == 3 else f"{size:.2f}".replace(".", ","), ["rot", "grün", "blau", ""][row % 4],
            f"{1 + row % 28:02d}.{1 + row % 12:02d}.{2000 + row % 20}", f"{price:.1f}".replace(".", ","),
            f"0{1000 + row % 7}", f"Text Nummer {row}", str(row + 1)]
        lines.append(";".join(cells))
    file.write_text("\n".join(lines) + "\n", encoding="cp1252")


def write_churn_table(file: Path) -> None:
    """Two classes in words, missing cells, dates that can be read in two ways, mixed cells, two columns of one served name."""
    rng = np.random.default_rng(0)
    lines = ['age,born on,"income (k$)",income_k,churn,mixed,plan,big']
    for row in range(_NUM_ROWS):
        age = 20 + row % 50
        cells = [
            "" if row % 9 == 0 else str(age), f"{1 + row % 12}/{1 + row % 12}/20{10 + row % 10}", f"{rng.normal():.3f}",
            str(row % 7), "yes" if age > 40 else "no", ["1", "2", "n/v 3"][row % 3], ["A", "B", "?"][row % 3],
            f'"{row},{100 + row}"']
        lines.append(",".join(cells))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_series(file: Path) -> None:
    """A season of 12 rows with noise, in Latin letters with decimal commas; 'NA' in a second column."""
    rng = np.random.default_rng(0)
    lines = ["Zeit;Temp in °C;Druck"]
    for row in range(300):
        value = f"{20 + 5 * np.sin(row / 12 * 2 * np.pi) + rng.normal():.2f}".replace(".", ",")
        lines.append(f"2020-{1 + row // 28 % 12:02d}-{1 + row % 28:02d} "
                     f"00:00;{value};{'NA' if row % 50 == 7 else 1000 + row % 9}")
    file.write_text("\n".join(lines) + "\n", encoding="latin-1")


def write_texts(file: Path) -> None:
    """Two classes of texts that differ in their words, with quotes, behind a semicolon."""
    rng = np.random.default_rng(0)
    words = {"gut": ["good", "great", "nice", "fine"], "schlecht": ["bad", "awful", "poor", "sad"]}
    lines = ["Review;Laune;id"]
    for row in range(80):
        mood = list(words)[row % 2]
        lines.append(f'"{" ".join(rng.choice(words[mood], 5))}; ""quoted"" thing";{mood};{row}')
    file.write_text("\n".join(lines) + "\n", encoding="cp1252")


def picture(kind: int, height: int, width: int, *, seed: int) -> np.ndarray:
    """A colour picture uint8 `[height, width, 3]`, noisy and red (0), striped (1) or dark (2)."""
    image = np.random.default_rng(seed).integers(0, 100, (height, width, 3)).astype(np.uint8)
    if kind == 0:
        image[..., 0] += 140
    elif kind == 1:
        image[::4] += 140
    return image


def save(image: np.ndarray, file: Path) -> None:
    """Writes an image, with its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)


def write_uneven_images(folder: Path) -> None:
    """Classes in folders; sizes and spellings differ, some are grey, one is broken, and systems left files behind."""
    for kind, name in enumerate(("red things", "striped", "third")):
        for number in range(14):
            image = picture(kind, 20 + 5 * number, 80 - 4 * number, seed=number)
            save(image[..., 0] if number == 3 else image, folder / name / f"{number}.{'PNG' if number == 5 else 'png'}")
    (folder / "striped" / "broken.png").write_bytes(b"\x89PNG\r\n")
    save(picture(2, 9, 9, seed=0), folder / ".ipynb_checkpoints" / "x.png")
    (folder / "._x.jpg").write_bytes(b"x")


def write_split_images(folder: Path) -> None:
    """Folders Train/ and valid/ with two classes, all of one size."""
    for part, number in (("Train", 16), ("valid", 4)):
        for kind, name in enumerate("ab"):
            for index in range(number):
                save(picture(kind, 24, 32, seed=index), folder / part / name / f"{index}.png")


def write_masks(folder: Path) -> None:
    """Photographs of several sizes with masks painted in 0 and 255."""
    for number in range(7):
        height, width = 50 + 3 * number, 80 - 4 * number
        mask = np.zeros((height, width), np.uint8)
        mask[5 + number:25 + number, 10:35] = 255
        image = picture(2, height, width, seed=number)
        image[mask > 0] += 120
        save(image, folder / "images" / f"p{number}.jpg")
        save(mask, folder / "Masks" / f"p{number}.png")
