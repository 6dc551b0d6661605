"""Writes qwen2.json beside this file: a small byte-level BPE, and what Hugging Face's tokenizers make of the texts of
huggingface.jsonl with it, set up as Qwen2's own tokenizer.

The merges are learnt from the texts without cutting them into words first, so that many join what the pre-tokenizer keeps
apart: wherever it cuts elsewhere, the tokens differ.

    pip install tokenizers==0.23.3
    python qwen2.py
"""
import json, os
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
texts = [json.loads(line)['text'] for line in open(os.path.join(here, 'huggingface.jsonl'), encoding='utf-8')]
texts = [t for i, t in enumerate(texts) if i < 120 or i % 4 == 0 and len(t) < 200]

uncut = Tokenizer(models.BPE())
uncut.normalizer = normalizers.NFC()
uncut.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
uncut.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1200, min_frequency=2, show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
model = json.loads(uncut.to_str())['model']
merges = [tuple(m) for m in model['merges']]

tk = Tokenizer(models.BPE(vocab=model['vocab'], merges=merges))
tk.normalizer = normalizers.NFC()
pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), 'isolated'),
                                            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tokens = sorted(model['vocab'], key=model['vocab'].get)
with open(os.path.join(here, 'qwen2.json'), 'w', encoding='utf-8') as out:
    rows = ',\n'.join(json.dumps(dict(text=t, ids=tk.encode(t).ids), ensure_ascii=False) for t in texts)
    out.write('{"tokens": %s,\n"merges": %s,\n"cases": [\n%s\n]}\n' % (
        json.dumps(tokens, ensure_ascii=False), json.dumps([' '.join(m) for m in merges], ensure_ascii=False), rows))
