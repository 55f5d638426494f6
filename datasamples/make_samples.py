"""Makes every data file of this folder again from the Python packages that ship its source; README.md tells what they are.

    python -m venv samples && . samples/bin/activate
    pip install numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 scikit-image==0.26.0 opencv-python-headless==5.0.0.93 nibabel==5.4.2
    pip install --no-deps seglearn==1.2.5 statsmodels==0.15.0 vega-datasets==0.9.0 scikit-learn==1.9.1 nilearn==0.14.1
    python datasamples/make_samples.py [--out FOLDER] [NAME …]

The second line's packages are not imported, only their data files are read, so what they need is not installed. With these
versions two runs write the same bytes. The random numbers have fixed seeds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

TEXTURES = ("brick", "grass", "gravel", "stars", "tissue")  # the index is the class
TRAINING_COLUMNS, VALIDATION_COLUMNS = slice(0, 304), slice(312, 512)  # of the textures; a gap keeps them apart
PHOTO_SIZE = 64
NUM_TRAINING_MOSAICS, NUM_VALIDATION_MOSAICS = 8, 3
VALIDATION_SUBJECTS = (8, 9, 10)
FIRST_CO2_YEAR, FIRST_CO2_VALIDATION_YEAR = 1965, 1990
FIRST_WEATHER_VALIDATION_YEAR = 2015
BRAIN_BOX = (slice(26, 172), slice(26, 208), slice(0, 156))  # voxels of 1 mm; around all that is not background
SLAB_STARTS = (0, 20, 36, 55, 71, 91)  # along the second axis, voxels of 2 mm; every other slab is for validation
NOISE_SIGMA, SHADING_FRACTION = 20.0, 0.25  # grey levels of 255; of the intensity


def packaged_file(distribution: str, path: str) -> Path:
    """A data file of an installed package, found without importing the package.

    Raises:
        SystemExit: the package or its file is not there; the message is what to install.
    """
    try:
        file = Path(str(importlib.metadata.distribution(distribution).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{distribution} is not installed. See the first lines of {__file__}.") from None
    if not file.exists():
        raise SystemExit(f"{distribution} has no file {path!r}. Install the version named in the first lines of {__file__}.")
    return file


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a table with its header, without the index, lines ending in a line feed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")


def write_image(image: np.ndarray, path: Path) -> None:
    """Writes a grey uint8 image: PNG at full compression, or JPEG at quality 92."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_JPEG_QUALITY, 92]
    if not cv2.imwrite(str(path), image, options[:2] if path.suffix == ".png" else options[2:]):
        raise OSError(f"{path} could not be written.")


def watch_exercises(folder: Path) -> None:
    """One CSV for each of the 70 recordings of the right arm, brought from 50 Hz to 25 Hz by averaging pairs of rows."""
    recordings = np.load(packaged_file("seglearn", "seglearn/data/watch_dataset.npy"), allow_pickle=True).item()
    columns = zip(recordings["X"], recordings["y"], recordings["subject"], recordings["side"])
    for signal, exercise_index, subject, side in columns:
        if side != 1:
            continue
        pairs = len(signal) // 2
        rows = signal[:2 * pairs].reshape(pairs, 2, 6).mean(axis=1)
        exercise = recordings["y_labels"][int(exercise_index)]
        table = pd.DataFrame(rows, columns=recordings["X_labels"]).round({**dict.fromkeys(("ax", "ay", "az"), 3),
                                                                        **dict.fromkeys(("wx", "wy", "wz"), 2)})
        hundredths = np.arange(pairs) * 4
        table.insert(0, "time", [f"{h // 6000:02d}:{h // 100 % 60:02d}.{h % 100:02d}" for h in hundredths])
        table.insert(1, "subject", f"s{int(subject):02d}")
        table.insert(2, "exercise", exercise)
        part = "val" if subject in VALIDATION_SUBJECTS else "train"
        write_csv(table, folder / part / f"s{int(subject):02d}_{exercise}.csv")


def co2_weekly(folder: Path) -> None:
    """Two CSVs: the weekly carbon dioxide of Mauna Loa until 1989 and from 1990 on, missing weeks interpolated linearly."""
    table = pd.read_csv(packaged_file("statsmodels", "statsmodels/datasets/co2/co2.csv"))
    dates = pd.to_datetime(table["date"].astype(str), format="%Y%m%d")
    series = pd.DataFrame({"date": dates.dt.strftime("%Y-%m-%d"), "co2_ppm": table["co2"].interpolate().round(2)})
    is_validation = dates.dt.year >= FIRST_CO2_VALIDATION_YEAR
    write_csv(series[(dates.dt.year >= FIRST_CO2_YEAR) & ~is_validation], folder / "train" / "co2_1965_1989.csv")
    write_csv(series[is_validation], folder / "val" / "co2_1990_2001.csv")


def cars(folder: Path) -> None:
    """One CSV: the cars whose consumption is known."""
    table = pd.read_json(packaged_file("vega-datasets", "vega_datasets/_data/cars.json"), convert_dates=False)
    table = table.dropna(subset="Miles_per_Gallon")
    table["Horsepower"] = table["Horsepower"].astype("Int64")  # whole numbers, some missing
    write_csv(table, folder / "cars.csv")


def seattle_weather(folder: Path) -> None:
    """Two CSVs: the daily weather of Seattle in 2012 to 2014 and in 2015, units in the columns' names."""
    table = pd.read_csv(packaged_file("vega-datasets", "vega_datasets/_data/seattle-weather.csv"))
    table["date"] = table["date"].str.replace("/", "-")
    table = table.rename(columns={"precipitation": "precipitation_mm", "temp_max": "temp_max_celsius",
                                  "temp_min": "temp_min_celsius", "wind": "wind_metres_per_second"})
    is_validation = table["date"].str[:4].astype(int) >= FIRST_WEATHER_VALIDATION_YEAR
    write_csv(table[~is_validation], folder / "train" / "seattle_2012_2014.csv")
    write_csv(table[is_validation], folder / "val" / "seattle_2015.csv")


def diabetes(folder: Path) -> None:
    """Two CSVs of one row a patient: ten measurements and the progression of the disease; every fifth is for validation."""
    names = ["age_years", "sex", "bmi", "blood_pressure", "tc", "ldl", "hdl", "tch", "ltg", "glucose"]
    files = [packaged_file("scikit-learn", f"sklearn/datasets/data/diabetes_{kind}.csv.gz") for kind in ("data_raw", "target")]
    table = pd.read_csv(files[0], sep=" ", header=None, names=names)
    table["progression"] = pd.read_csv(files[1], header=None)[0].astype(int)
    is_validation = table.index % 5 == 4
    write_csv(table[~is_validation], folder / "train" / "diabetes_train.csv")
    write_csv(table[is_validation], folder / "val" / "diabetes_val.csv")


def flattened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gives a grey image a flat histogram, uint8: the k-th darkest of n pixels gets 256·k // n, ties broken at random."""
    order = np.argsort((image + rng.random(image.shape)).ravel(), kind="stable")
    values = np.empty(image.size, np.uint8)
    values[order] = np.arange(image.size) * 256 // image.size
    return values.reshape(image.shape)


def textures(columns: slice) -> list[np.ndarray]:
    """The same columns of each texture, grey uint8 `[512, width]` with flat histograms: a pixel's value tells no class."""
    import skimage.data

    sources = [skimage.data.brick(), skimage.data.grass(), skimage.data.gravel(), skimage.data.hubble_deep_field(),
               skimage.data.immunohistochemistry()]
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image for image in sources]
    rng = np.random.default_rng(columns.start)
    return [flattened(grey[:512, columns], rng) for grey in greys]


def cells(shape: tuple[int, int], grid: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Cuts an image into Voronoi cells with wavy borders around points near a grid: `[height, width]` of cell numbers."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    spacing = np.array(shape) / grid
    centres = np.stack(np.indices(grid), axis=-1).reshape(-1, 2) + 0.5
    points = (centres + rng.uniform(-0.3, 0.3, centres.shape)) * spacing
    waves = np.stack([gaussian_filter(rng.standard_normal(shape), 8.0) for _ in range(2)], axis=-1)
    positions = np.stack(np.indices(shape), axis=-1) + 6.0 * waves / waves.std()
    return cKDTree(points).query(positions.reshape(-1, 2))[1].reshape(shape)


def mosaic(layers: list[np.ndarray], shape: tuple[int, int], *, grid: tuple[int, int],
           seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fills each cell with a part of a texture taken from a random place; cells that touch have different classes.

    Returns:
        the image and its classes (0 … len(layers) − 1), uint8 `[height, width]` each.
    """
    rng = np.random.default_rng(seed)
    numbers = cells(shape, grid, rng)
    image, label = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    for number in np.unique(numbers):
        mask = numbers == number
        neighbours = label[cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0]
        chosen = rng.choice([index for index in range(len(layers)) if index not in neighbours])
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        inside, layer = mask[box], layers[chosen]
        top, left = (rng.integers(0, free + 1) for free in np.subtract(layer.shape, inside.shape))
        image[box][inside] = layer[top:top + inside.shape[0], left:left + inside.shape[1]][inside]
        label[box][inside] = chosen
    return image, label


def texture_mosaics(folder: Path) -> None:
    """Pairs raw/NAME.png and labels/NAME.png: for training, for validation, and a large one for tiled prediction."""
    training, validation = textures(TRAINING_COLUMNS), textures(VALIDATION_COLUMNS)
    jobs = [(f"train/{{}}/mosaic_{i}.png", training, (256, 256), (3, 3), i) for i in range(NUM_TRAINING_MOSAICS)]
    jobs += [(f"val/{{}}/mosaic_{i}.png", validation, (256, 256), (3, 3), 100 + i) for i in range(NUM_VALIDATION_MOSAICS)]
    jobs.append(("large/{}/mosaic.png", validation, (501, 703), (5, 7), 200))
    for pattern, layers, shape, grid, seed in jobs:
        for kind, image in zip(("raw", "labels"), mosaic(layers, shape, grid=grid, seed=seed)):
            write_image(image, folder / pattern.format(kind))


def texture_photos(folder: Path) -> None:
    """Folders of photos named by class: the textures cut into squares that do not overlap."""
    for part, columns in (("train", TRAINING_COLUMNS), ("val", VALIDATION_COLUMNS)):
        for name, image in zip(TEXTURES, textures(columns)):
            for top in range(0, image.shape[0] - PHOTO_SIZE + 1, PHOTO_SIZE):
                for left in range(0, image.shape[1] - PHOTO_SIZE + 1, PHOTO_SIZE):
                    photo = image[top:top + PHOTO_SIZE, left:left + PHOTO_SIZE]
                    write_image(photo, folder / part / name / f"{name}_{top:03d}_{columns.start + left:03d}.jpg")


def template_maps() -> dict[str, np.ndarray]:
    """The brain's T1 image `t1` and its maps of grey and white matter `gm`, `wm`: float64 in 0 … 1, `[73, 91, 78]` of 2 mm."""
    import nibabel

    maps = {}
    for name in ("t1", "gm", "wm"):
        file = packaged_file("nilearn", f"nilearn/datasets/data/mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        volume = np.asarray(nibabel.load(file).dataobj)[BRAIN_BOX] / 255.0
        x, y, z = (length // 2 for length in volume.shape)
        maps[name] = volume.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5))
    return maps


def as_scanned(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds what a scan has and an average of many has not: shading that varies smoothly, and Rician noise; uint8."""
    from scipy.ndimage import gaussian_filter

    shading = gaussian_filter(rng.standard_normal(volume.shape), 20.0, mode="reflect")
    shading *= SHADING_FRACTION / np.abs(shading).max()
    real = 0.8 * 255.0 * volume * (1.0 + shading) + NOISE_SIGMA * rng.standard_normal(volume.shape)
    imaginary = NOISE_SIGMA * rng.standard_normal(volume.shape)
    return np.clip(np.round(np.hypot(real, imaginary)), 0, 255).astype(np.uint8)


def brain_t1(folder: Path) -> None:
    """Slabs NPZ with `raw` (T1) and `label`: 0 background, 1 other tissue and fluid, 2 grey matter, 3 white matter."""
    maps = template_maps()
    other = np.clip(1.0 - maps["gm"] - maps["wm"], 0.0, 1.0)
    most_probable = 1 + np.argmax([other, maps["gm"], maps["wm"]], axis=0)
    label = np.where(maps["t1"] > 0.1, most_probable, 0).astype(np.uint8)
    raw = as_scanned(maps["t1"], np.random.default_rng(0))
    for index, (start, end) in enumerate(itertools.pairwise(SLAB_STARTS)):
        path = folder / ("val" if index % 2 else "train") / f"slab_{index}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, raw=raw[:, start:end], label=label[:, start:end])


SAMPLES: dict[str, Callable[[Path], None]] = {function.__name__: function for function in (
    watch_exercises, co2_weekly, seattle_weather, cars, diabetes, texture_mosaics, texture_photos, brain_t1)}


def main() -> None:
    """Makes the samples named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to make, of {', '.join(SAMPLES)}; all by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to; this one by default")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(SAMPLES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}. Known: {', '.join(SAMPLES)}.")
    for name in arguments.names or SAMPLES:
        try:
            SAMPLES[name](arguments.out / name)
        except ModuleNotFoundError as error:
            raise SystemExit(f"{error.name} is not installed. See the first lines of {__file__}.") from None


if __name__ == "__main__":
    main()
