// Package scoring says how relevant segments of text are to a query.
//
// Its signals, from the cheapest to the dearest: BM25 over identifiers and words; the cosine of an encoder's vectors
// (Encoder); the log-probability that a decoder gives the query after the segment, less the one it gives without it (LM).
// A Scorer combines them by name and keeps what it computed by content.
//
// Both models come from GGUF files (package gguf), with their own tokenizers (package tokenizer). Each has two passes: one
// in float32 that follows the papers, and one in int8 for use. A result depends on its own text alone, bit for bit, so it
// can be computed in any company and cached.
package scoring
