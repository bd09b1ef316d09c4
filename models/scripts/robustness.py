"""Measures through the whole program what becomes of a network's word on images that are changed.

Each image becomes a DICOM file, changed in each of the ways below, and `medilink analyze` reads them twice in one run: by the
network as it is, and by the same weights without the rule of out-of-distribution, so that it is seen what that rule keeps
back. Prints a table in Markdown: the share that is abstained on, the area under the curve of the primary label over the images
that are scored, how far its probability moved on average from that of the unchanged image, and how many calls turned.

    pip install numpy pillow pydicom scikit-learn
    python models/scripts/robustness.py target/release/medilink pneumonia224 IMAGES.npz --split val

The file holds `images` (8-bit grey), `labels` (0: the primary label is absent) and, for --split, `split`.
"""

import argparse
import io
import json
import pathlib
import re
import subprocess
import tempfile

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from abstention import write

MODELS = pathlib.Path(__file__).parent.parent
BARE = "bare"
FEWEST = 50  # scored images behind a figure
NOISE = np.random.default_rng(0)


def shades(image, factor=1.0, shift=0.0):
    """Contrast about the image's own mean, then brightness as a part of the way from black to white."""
    mean = image.mean()
    return np.clip((image - mean) * factor + mean + 255 * shift, 0, 255).round().astype(np.uint8)


def noise(image, deviation):
    return np.clip(image + NOISE.normal(0, deviation, image.shape), 0, 255).round().astype(np.uint8)


def turned(image, degrees):
    """Turned, and cut to the largest square within, so that no corner is blank."""
    angle, side = np.radians(degrees), len(image)
    rim = int(np.ceil(side * (1 - 1 / (np.cos(angle) + np.sin(angle))) / 2))
    whole = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC))
    return whole[rim : side - rim, rim : side - rim]


def jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def smaller(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))


def collimated(image, part):
    """A black border of this part of the side, all round."""
    rim, changed = round(part * len(image)), np.zeros_like(image)
    changed[rim:-rim, rim:-rim] = image[rim:-rim, rim:-rim]
    return changed


CHANGES = {
    "none": lambda image: image,
    **{f"brightness {100 * by:+.0f} %": lambda image, by=by: shades(image, shift=by) for by in (-0.2, -0.1, 0.1, 0.2)},
    **{f"contrast × {by}": lambda image, by=by: shades(image, factor=by) for by in (0.6, 0.8, 1.2, 1.5)},
    **{f"noise of {by} shades": lambda image, by=by: noise(image, by) for by in (2, 5, 10, 20)},
    "turned by 5°": lambda image: turned(image, 5),
    "turned by 15°": lambda image: turned(image, 15),
    "turned by 90°": lambda image: np.rot90(image),
    **{f"JPEG, quality {by}": lambda image, by=by: jpeg(image, by) for by in (90, 50, 20)},
    **{f"{side}×{side} pixels": lambda image, side=side: smaller(image, side) for side in (168, 112, 80)},
    **{f"collimated by {100 * by:.0f} %": lambda image, by=by: collimated(image, by) for by in (0.02, 0.05, 0.1)},
}


def without_distance(network, folder):
    """Lays the network under another name, without its rule of out-of-distribution, into a data folder."""
    card = (MODELS / "cards" / f"{network}.toml").read_text()
    card = re.sub(r"\[out_of_distribution\].*?(?=^\[(?!\[?out_of_distribution))", "", card, flags=re.S | re.M)
    card = card.replace(f'name = "{network}"', f'name = "{BARE}"', 1).replace('state = "active"', 'state = "draft"', 1)
    (folder / "networks").mkdir(parents=True)
    (folder / "networks" / f"{BARE}.toml").write_text(card)
    (folder / "networks" / f"{BARE}.onnx").write_bytes((MODELS / "weights" / f"{network}.onnx").read_bytes())


def probabilities(told, images, data_dir):
    """By network, an image's probability of the primary label, which stands first; NaN where it abstained."""
    found = {name: np.full(len(images), np.nan) for name in (told.network, BARE)}
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            write(pathlib.Path(folder) / f"{number:05}.dcm", image, 8)
        command = [told.medilink, "analyze", folder, "--model", told.network, "--model", BARE, "--force", "--json"]
        command += ["--data-dir", str(data_dir)]
        for line in map(json.loads, subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()):
            if "summary" not in line and not line["abstention"]:
                found[line["network"]][int(pathlib.Path(line["file"]).stem)] = line["labels"][0]["probability"]
    return found


def percent(share):
    return f"{100 * share:.1f} %"


def row(found, unchanged, labels):
    scored = ~np.isnan(found)
    both = scored & ~np.isnan(unchanged)
    if both.sum() < FEWEST:
        return f"{percent(1 - scored.mean())} | – | – | –"
    auc = roc_auc_score(labels[scored] > 0, found[scored])
    moved = np.abs(found - unchanged)[both].mean()
    turned_calls = ((found >= 0.5) != (unchanged >= 0.5))[both].mean()
    return f"{percent(1 - scored.mean())} | {auc:.3f} | {moved:.3f} | {percent(turned_calls)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("medilink")
    parser.add_argument("network")
    parser.add_argument("images")
    parser.add_argument("--split", help="only images whose `split` is this")
    told = parser.parse_args()

    data = np.load(told.images)
    kept = slice(None) if told.split is None else data["split"] == told.split
    images, labels = data["images"][kept], data["labels"][kept]
    print("| change | abstained | AUC of the scored | moved | calls turned | without the rule: AUC | moved | calls turned |")
    print("|---|---|---|---|---|---|---|---|")
    unchanged = None
    with tempfile.TemporaryDirectory() as folder:
        without_distance(told.network, pathlib.Path(folder))
        for change, of in CHANGES.items():
            found = probabilities(told, [of(image) for image in images], folder)
            unchanged = unchanged or found
            gated, bare = (row(found[name], unchanged[name], labels) for name in (told.network, BARE))
            print(f"| {change} | {gated} | {bare.split(' | ', 1)[1]} |", flush=True)


if __name__ == "__main__":
    main()
