"""The names of the formats and what each is; nothing here takes time to import."""

MEANINGS = {
    "kaldi": "data folder: wav.scp and text; segments, utt2spk, utt2dur and utt2lang if there",
    "lhotse": "recordings and supervisions, or cuts; .jsonl or .jsonl.gz",
    "nemo": "manifest of NVIDIA NeMo: JSON Lines with audio_filepath, duration and text",
    "commonvoice": "train.tsv, dev.tsv, ... of Common Voice, beside its folder clips",
    "csv": "table with a header: .csv (commas) or .tsv (tabs), .gz after it or not",
    "huggingface": "folder in the AudioFolder layout (metadata.csv or metadata.jsonl)",
    "webdataset": "tar files (shards) with KEY.flac, wav, ... beside KEY.json or KEY.txt",
}
"""What each format is, by its name."""
