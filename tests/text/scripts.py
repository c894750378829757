"""Made-up texts in many scripts, as a normaliser leaves them."""

import numpy as np

ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyz'-éßñ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "devanagari": "अआइईउकखगघचछजझटठडढतथदधनपफबभमयरलवशषसहािीुूेैोौ्ं",
    "thai": "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศสหอะาำิีึืุูเแโใไ่้",
    "hangul": "가나다라마바사아자차카타파하",
    "han": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可",
    "kana": "あいうえおかきくけこさしすせそアイウエオカキクケコ",
    "emoji": "😀😁🎉🌍",
}
UNSPACED = ("thai", "han", "kana")


def texts(script: str, count: int, seed: int = 0) -> list[str]:
    """Sentences out of forty made-up words, the first of which are the most frequent."""
    random = np.random.default_rng(seed)
    letters = list(ALPHABETS[script])
    words = ["".join(random.choice(letters, random.integers(1, 7))) for _ in range(40)]
    weights = 1.0 / np.arange(1, len(words) + 1)
    space = "" if script in UNSPACED else " "
    return [
        space.join(random.choice(words, random.integers(1, 9), p=weights / weights.sum()))
        for _ in range(count)
    ]
