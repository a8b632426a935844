"""The demo model's tokenizer: byte-level BPE with single digits, trained on the corpus."""
import json
import pathlib
import random
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from corpus import mix
from documents import BOS, EOS, PLAIN_ADDED, SPECIAL, VOCAB, segments

# Words with one mark before them, single digits, marks, and white space by itself.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def texts(n, seed=3):
    rng = random.Random(seed)
    for _ in range(n):
        for text, _ in segments(*mix.conversation(rng)):
            for piece in re.split("|".join(map(re.escape, SPECIAL + PLAIN_ADDED)), text):
                yield piece


def train(out, n=30000):
    t = Tokenizer(models.BPE(ignore_merges=False))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - len(PLAIN_ADDED), special_tokens=SPECIAL, show_progress=False, min_frequency=20,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(texts(n), trainer)
    t.add_tokens([AddedToken(w, normalized=False) for w in PLAIN_ADDED])
    t.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, t.token_to_id(BOS))])
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    t.save(str(out / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "model_max_length": 1024,
              "clean_up_tokenization_spaces": False}
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return t


if __name__ == "__main__":
    import sys
    made = train(sys.argv[1])
    print(made.get_vocab_size(), "tokens")
