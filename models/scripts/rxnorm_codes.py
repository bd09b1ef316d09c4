"""Writes the codes of ingredients out of RxNorm's table, or says what differs.

    python models/scripts/rxnorm_codes.py rxnorm_ingredients.csv [--write]

The table has the columns rxcui, ingredient, unii, brands, source. An ingredient that is not in it loses its code: none is
better than a remembered one. Ends with 1 where something differs and nothing was written.
"""

import csv
import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).parent.parent / "knowledge" / "drugs" / "ingredients"
# Ids whose name in RxNorm is another one.
NAMES = {
    "insulin-aspart": "insulin aspart, human",
    "insulin-regular": "insulin, regular, human",
    "insulin-glulisine": "insulin glulisine, human",
    "sennosides": "sennosides, usp",
}


def codes(table):
    """RXCUI by ingredient in lower case; the first of a name counts."""
    of = {}
    with open(table, newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            of.setdefault(row["ingredient"].lower(), row["rxcui"])
    return of


def mended(text, of):
    """The file's text with the code of every ingredient as the table has it."""
    out = []
    for line in text.splitlines():
        if line.startswith("rxcui = "):
            continue
        out.append(line)
        if opened := re.fullmatch(r"\[([a-z0-9-]+)\]", line):
            ingredient = opened[1]
        elif line.startswith("name = "):
            name = NAMES.get(ingredient) or line.removeprefix("name = ").strip('"').lower()
            if name in of:
                out.append(f'rxcui = "{of[name]}"')
    return "\n".join(out) + "\n"


def main():
    of = codes(sys.argv[1])
    differ = 0
    for path in sorted(FOLDER.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        if (new := mended(text, of)) != text:
            differ += 1
            print(f"{path.name} differs")
            if "--write" in sys.argv:
                path.write_text(new, encoding="utf-8")
    return 1 if differ and "--write" not in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
