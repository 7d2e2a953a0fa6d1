#!/usr/bin/env python3
"""Tiny tokenizers of every kind with the ids that Hugging Face gives for the same texts.

Writes tests/golden/tokenizer/: texts.json (all texts; those of random bytes and random characters in hexadecimal), and
per tokenizer a folder with tokenizer.json, or tokenizer.model and tokenizer_config.json, and expected.json: the ids of
every written text (and what they decode to, where that is not the text itself), and one hash of the ids for each random
text. The folder demo has only the ids of the demo model's tokenizer, built by hand from its GGUF file. Everything
follows from fixed seeds; run it again only to add a case:
  python tests/oracle/make_tokenizer_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf     (scripts/fetch-demo-model)
Needs tokenizers, transformers >= 5, sentencepiece, protobuf, gguf. Made with tokenizers 0.23.3, transformers 5.24,
sentencepiece 0.2.3.
"""

import collections
import io
import json
import pathlib
import random
import shutil
import sys
import unicodedata

import gguf
import sentencepiece
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "tokenizer"
VOCAB = 600

TEXTS = {
    "empty": [""],
    "multilingual": [
        "The nearest plane is found one coordinate at a time.",
        "Größere Gitter brauchen mehr Bits, Straße für Straße.",
        "L'été dernier, où étiez-vous ? Ça dépend du réseau.",
        "Решётка и её базис: ближайшая точка находится за один проход.",
        "Η πλησιέστερη κορυφή ενός πλέγματος.",
        "格子の最近点を求める。ひらがなとカタカナ。",
        "格点上的最近向量问题，很难。",
        "가장 가까운 격자점을 찾는다.",
        "أقرب نقطة في الشبكة العربية، وهي بعيدة.",
        "הנקודה הקרובה ביותר בסריג",
        "निकटतम बिंदु की खोज",
        "จุดที่ใกล้ที่สุดบนแลตทิซ",
        "điểm gần nhất trong mạng lưới",
        "Zażółć gęślą jaźń. Příliš žluťoučký kůň.",
    ],
    "emoji": [
        "😀 😃😄 x😀y",
        "👩‍👩‍👧‍👦 family, 👨🏽‍💻 coder, 🏳️‍🌈 flag",
        "🇩🇪🇫🇷🇯🇵 1️⃣2️⃣ ☺️ ☺︎ ❤️‍🔥",
        "🫨🩷🪿 new ones",
    ],
    "code": [
        "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * 0x1F;  // done\n}\n",
        "def f(x):\n    return {'a': x**2, \"b\": [1, 2, 3]}\n\n\nprint(f(10))",
        "#include <vector>\r\nstd::vector<int> v{1,2,3};\r\n",
        "SELECT * FROM t WHERE a_b='c''d' AND e!=NULL;--x",
        "https://example.org/a?b=c&d=%20#frag user@example.org",
        "a&&b||!c ??? ->-> <<<>>> $$x_{i}^{2}$$ \\frac{1}{2}",
    ],
    "control": [
        "\x00\x01\x02 \x1b[31mred\x1b[0m \x7f",
        "a\x00b\tc\x0bd\x0ce\x85f\u2028g\u2029h",
        "\ufeffmark \u200b\u200c\u200d\u2060 \u00ad \u180e",
        "\ufffd\uffff\U0010ffff\ue000",
    ],
    "digits": [
        "1 12 123 1234 12345 3.14159 1,000,000 2024-01-31",
        "x1y22z333 007 ½ ² Ⅷ ①② ٣٤٥ १२३ ９８",
        "1e-5 0b1010 12th 3rd",
    ],
    "whitespace": [
        " ",
        "  ",
        "\n",
        "a b  c   d    e     f",
        " lead and trail  ",
        "\t\ttabs\t \t mixed\n\n\n  lines \r\n \r\n\r\nend \n",
        "no\u00a0break\u3000wide\u2003em \u00a0 \u3000\u3000x",
        "x" + " " * 40 + "y" + "\n" * 9 + " " * 7,
    ],
    "contractions": [
        "I'm you're he's we'll they'd I've can't 'tis o'clock",
        "I'M YOU'RE HE'S WE'LL THEY'D I'VE CAN'T 'TWAS",
        "it’s don’t 's 't 're'll''ve '\u017f",
        "<unk> <s>x</s> <0x41> ▁a▁▁b",
    ],
    "normalization": [
        "e\u0301 é \u1e9b\u0323 \u212b ﬁ ﬀ ㍿ ｶﾞ が \u1100\u1161\u11a8 각",
        "a\u0323\u0307 a\u0307\u0323 \u0344 \u0958 \u2126 İI ıi ǅ Σς ẞß",
        "\U0001e030 \u0897 \U00010d50 \U00011380\u0301",
    ],
    "added": [
        "<|begin|>Hello <|end|> there",
        "a <mask> b<mask>c  <mask>",
        "a <tail>  b<tail>c <tail> \n d",
        "word words sword word, (word) wordword word_ word\u0301 9word",
        "Tag TAG tag täg \u00c4dded ädded A\u0308dded",
        "<|begin|><|end|><|begin|> <mask> <tail> word",
        "<|begin <|end|>| <|end|",
        "  <|end|>  x",
    ],
    "long": [
        "abc" * 150,
        "na" * 200 + "!" * 200,
        "The lattice of the nearest plane and the plane of the lattice. " * 12,
        "ΣςΑ" * 60 + "格子" * 60,
    ],
}  # fmt: skip

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")  # fmt: skip
QWEN2 = LLAMA3.replace("{1,3}", "")
SPECIAL = [AddedToken("<|begin|>", special=True, normalized=False), AddedToken("<|end|>", special=True, normalized=False)]
ADDED = [
    AddedToken("<mask>", lstrip=True, normalized=False),
    AddedToken("<tail>", rstrip=True, normalized=False),
    AddedToken("word", single_word=True, normalized=False),
    AddedToken("Ädded", normalized=True),
]


def random_texts():
    """1,000 strings of random bytes, and 300 of random characters of all kinds, many of them next to one another."""
    rng = random.Random(20)
    raw = [rng.randbytes(rng.randrange(1, 25)) for _ in range(1000)]
    known = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    assigned = [c for c in known if unicodedata.category(chr(c)) not in ("Cn", "Co")]
    pools = [list(range(128)), list(range(0x80, 0x500)), assigned, known, [ord(c) for c in " \t\n\r'’s1½.́ "],
             list(range(0x1F300, 0x1FB00)), list(range(0x300, 0x370)), list(range(0xAC00, 0xAC40))]  # fmt: skip
    characters = []
    for _ in range(300):
        text = ""
        while len(text) < rng.randrange(1, 16):
            text += "".join(chr(c) for c in rng.choices(rng.choice(pools), k=rng.randrange(1, 5)))
        characters.append(text.encode())
    return raw, characters


def corpus():
    rng = random.Random(21)
    sentences = [t for group in ("multilingual", "emoji", "code", "digits", "contractions", "whitespace") for t in TEXTS[group]]
    words = sorted({w for t in sentences for w in t.split()})
    for _ in range(400):
        yield " ".join(rng.choices(words, k=12))
        yield rng.choice(sentences)


def frequent_corpus(limit):
    """The lines of the corpus in its `limit` most frequent characters: the others are to be unknown. (The trainers can
    limit the alphabet themselves, with another choice at every run.)"""
    count = collections.Counter(c for text in corpus() for c in text)
    known = sorted(count, key=lambda c: (-count[c], c))[:limit]
    return ["".join(c for c in line if c in known) for text in corpus() for line in text.split("\n")]


def byte_level(pre, normalizer=None, specials=(), **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=list(specials), show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])  # fmt: skip


def smollm():
    digits = pre_tokenizers.Digits(individual_digits=True)
    pre = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return byte_level(pre, specials=SPECIAL)


def llama3():
    tokenizer = byte_level(split(LLAMA3), ignore_merges=True)
    tokenizer.add_special_tokens(SPECIAL)
    template = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1",
                                             special_tokens=[("<|begin|>", VOCAB)])  # fmt: skip
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template])
    return tokenizer


def qwen2():
    tokenizer = byte_level(split(QWEN2), normalizers.NFC())
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def llama_bytes():
    """Llama 2 as older converters wrote it: a normalizer instead of a pre-tokenizer."""
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])  # fmt: skip
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<unk>", "<s>", "</s>"] + bytes_,
                                  max_token_length=8, show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(frequent_corpus(120), trainer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_tokens(ADDED)
    return tokenizer


def metaspace():
    """Words split at Metaspace, everything that a normalizer can do, and characters that are unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
         normalizers.Replace(Regex(r"\d+"), "0"), normalizers.Strip(left=False, right=True)])  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(frequent_corpus(60), trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def train_sentencepiece(folder):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(frequent_corpus(150)), model_writer=model, vocab_size=VOCAB, model_type="bpe", byte_fallback=True,
        split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=1.0, user_defined_symbols=["<|end|>"],
        num_threads=1, minloglevel=2)  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())


def sentencepiece_folder(folder, **config):
    train_sentencepiece(folder)
    token = dict(lstrip=False, rstrip=False, normalized=False, single_word=False, special=True)
    decoder = {"600": {**token, "content": "<|begin|>"}, "601": {**token, "content": "<mask>", "lstrip": True}}
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
              "added_tokens_decoder": decoder, **config}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return transformers.LlamaTokenizer.from_pretrained(folder).backend_tokenizer


def demo(path):
    """The tokenizer of a GGUF file with `pre` = smollm."""
    reader = gguf.GGUFReader(path)
    field = {k: reader.get_field(f"tokenizer.ggml.{k}").contents() for k in ("pre", "tokens", "token_type", "merges")}
    assert field["pre"] == "smollm"
    vocab = {text: i for i, text in enumerate(field["tokens"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m.split(" ")) for m in field["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [text for text, kind in zip(field["tokens"], field["token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    return tokenizer


def hash_of(ids):
    h = 0xCBF29CE484222325
    for i in ids:
        h = (h ^ i) * 0x100000001B3 % 2**64
    return f"{h % 2**32:08x}"


def expected(tokenizer, raw, characters):
    written = {}
    for group, texts in TEXTS.items():
        written[group] = []
        for text in texts:
            ids = tokenizer.encode(text).ids
            decoded = tokenizer.decode(ids, skip_special_tokens=True)
            written[group].append({"ids": ids} if decoded == text else {"ids": ids, "decoded": decoded})
    hashes = {
        name: "".join(hash_of(tokenizer.encode(t.decode(errors="replace")).ids) for t in texts)
        for name, texts in (("bytes", raw), ("characters", characters))
    }
    return {"written": written, "hashes": hashes}


def main():
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir(parents=True)
    raw, characters = random_texts()
    texts = {"written": TEXTS, "bytes": [t.hex() for t in raw], "characters": [t.hex() for t in characters]}
    (GOLDEN / "texts.json").write_text(json.dumps(texts, indent=0) + "\n")
    made = {f.__name__.replace("_", "-"): f for f in (smollm, llama3, qwen2, gpt2, llama_bytes, metaspace)}
    made["sentencepiece"] = lambda: sentencepiece_folder(GOLDEN / "sentencepiece", add_bos_token=True)
    made["sentencepiece-legacy"] = lambda: sentencepiece_folder(
        GOLDEN / "sentencepiece-legacy", add_bos_token=False, add_eos_token=True, legacy=True)  # fmt: skip
    made["demo"] = lambda: demo(sys.argv[1])
    for name, make in made.items():
        folder = GOLDEN / name
        folder.mkdir()
        tokenizer = make()
        if name != "demo" and not (folder / "tokenizer.model").exists():
            (folder / "tokenizer.json").write_text(tokenizer.to_str() + "\n")
        result = expected(tokenizer, raw, characters)
        (folder / "expected.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
        print(name, tokenizer.get_vocab_size(), sum(f.stat().st_size for f in folder.iterdir()))


if __name__ == "__main__":
    main()
