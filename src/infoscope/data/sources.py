"""What a data set may be called, for a person."""

from __future__ import annotations

EMBEDDED: dict[str, str] = {
    "digits": "1,797 handwritten digits, 8×8, 10 classes",
    "iris": "150 flowers, 4 measurements, 3 classes",
    "wine": "178 wines, 13 measurements, 3 classes",
    "breast_cancer": "569 tumours, 30 measurements, 2 classes",
}

SOURCES: dict[str, str] = {
    "NAME": "a Hugging Face Hub name",
    "FOLDER": "images in a folder a class, parquet, CSV or JSON (Hub layout), Pascal VOC, save_to_disk's, text files",
    "FILE.npz": "arrays x and y, and classes if some of them may be missing; .npy, .safetensors likewise",
    "FILE.csv": "a table with a header, the column `label` or the last to be predicted; .tsv, .parquet, .json likewise",
    "FILE.txt": "text, whose bytes are to be said one after the other",
}
"""What a name may stand for, for a person."""
