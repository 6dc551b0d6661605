// Package tokenizer turns text into the token ids of the models that pith scores with, and counts the tokens that an
// upstream will bill.
//
// Three tokenizers share the package: BPE is the byte-level byte-pair encoding of a GGUF decoder, WordPiece that of a
// BERT encoder, and Counter the encodings of the OpenAI models. Byte-pair encoding has two steps: a scanner cuts the
// text into words (splitSmol, splitQwen2, splitCL100K, splitO200K: hand-written forms of the models' regular
// expressions), and merger joins the bytes of each word pair by pair, lowest rank first (Sennrich et al. 2016, "Neural
// Machine Translation of Rare Words with Subword Units").
//
// Every type is safe for concurrent use once built.
package tokenizer
