"""Writes fixture clip_tokens: texts of many scripts with the ids that transformers' CLIPTokenizer gives them.

Run: python tests/reference/clip_tokens.py
Used: transformers 5.24.0, open_clip_torch 3.3.0, ftfy 6.3.1.
"""
import gzip
import json
import random

import open_clip.tokenizer
from transformers import CLIPTokenizer

from fixture import ROOT, folder

VOCABULARY = ROOT / "pkg-build/vocabulary/bpe_simple_vocab_16e6.txt.gz"
WORDS = """a an the photo of face person man woman child smiling smile frown frowning eyebrows raised lips parted
corners mouth pulled down eyes wide open narrowed nose wrinkled teeth bared jaw clenched happy happiness sad sadness fear
afraid scared anger angry furious disgust contempt surprise surprised neutral calm expression don't can't it's I'm we've
they'll she'd you're dog's O'Brien well-known state-of-the-art e.g. U.S.A. 3D 4K mp3 covid19 iPhone HTTP JSON x=1 #tag
@user http://example.org/a?b=c&d=e foo_bar snake_case CamelCase antidisestablishmentarianism zzzzzz supercalifragilistic
café naïve façade Müller Straße Ångström señor año coração português İstanbul ığdır œuvre Æsir Łódź Český Dvořák Škoda
Größe ÉCOLE élève tiếng Việt Ελληνικά αβγ ΣΊΣΥΦΟΣ Москва привет мир ЁЖИК العربية مرحبا שלום עברית हिन्दी नमस्ते ไทย
สวัสดี 日本語 東京 こんにちは カタカナ 한국어 안녕 中文 你好 微笑 𝒳 ﬁne ＦＵＬＬ １２３ ½ Ⅷ ² x² 10€ £5 $3.50 100% 1,000 3.14159
2024-05-06 12:30 +49-30 №5 ™ © ® … — – “quoted” ‘single’ «guillemets» ¿qué? ¡sí! 😀 😂 😍 🤢 😱 😡 😭 🙂‍↕️ 👨‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪
🇺🇸 ❤️ ♥ ★ ☺ ☹️ ✓ → ∑ √2 ∞ 🧑🏿‍🚀 :) :-( ;-) <3 \\o/ ^_^ ¯\\_(ツ)_/¯ (╯°□°）╯︵ ┻━┻ !!! ??? ... !? -- __ ** ~~ `code` {a:1} [b]
<tag> </tag> &amp; &lt; &#39; \\n 'S 'T 'RE N'T ''' "\"" ' e\u0301 A\u030a n\u0303o \u00ad soft\u00adhyphen zero\u200bwidth bom\ufeff nbsp\u00a0nbsp
tab\tbed line\nbreak \u2028 \u3000wide""".split(" ")
SPACES = [" "] * 12 + ["  ", "\t", "\n", "", "\u00a0", "\u3000", "   "]

lines = gzip.open(VOCABULARY).read().decode("utf-8").split("\n")
merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
letters = list(open_clip.tokenizer.bytes_to_unicode().values())
pieces = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
pieces += ["<|startoftext|>", "<|endoftext|>"]
assert len(pieces) == 49408
tokenizer = CLIPTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges)
other = open_clip.tokenizer.SimpleTokenizer(str(VOCABULARY))

generator = random.Random(7)
descriptors = json.loads((ROOT / "pkg-build/descriptors/ferplus.json").read_text(encoding="utf-8"))
listed = [descriptor for expression in descriptors["expressions"] for descriptor in expression["descriptors"]]
texts = [it if isinstance(it, str) else it["text"] for it in listed]
texts += ["", " ", "a photo of a cat", "an ID photo of X X X X."] + WORDS
while len(texts) < 1500:
    count = generator.randint(1, 9)
    text = "".join(generator.choice(WORDS) + generator.choice(SPACES) for _ in range(count))
    texts.append(text if generator.random() < 0.7 else text.upper() if generator.random() < 0.5 else text.title())
# Single letters of every block, so that no script is missing: assigned, no surrogates, no controls.
while len(texts) < 1700:
    code = generator.choice([generator.randint(0x20, 0x24FF), generator.randint(0x2500, 0xD7FF),
                             generator.randint(0x1F300, 0x1FAFF)])
    texts.append("x" + chr(code) + chr(code + 1) + " " + chr(code))
texts = list(dict.fromkeys(texts))
cases = [[text, tokenizer(text)["input_ids"]] for text in texts]
same = sum(ids[1:-1] == other.encode(text) for text, ids in cases)
path = folder("clip_tokens", __file__, f"""
`cases.json`: {len(cases)} pairs of a text and its ids, start and end included, by transformers' CLIPTokenizer built from
`pkg-build/vocabulary/bpe_simple_vocab_16e6.txt.gz`. open_clip's SimpleTokenizer gives {same} of them the same ids; the others
hold what it cleans first (HTML entities, ligatures, full-width letters, broken UTF-8) and transformers does not.
""")
rows = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
(path / "cases.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
print(len(cases), same, [t for t, i in cases if i[1:-1] != other.encode(t)][:40])
