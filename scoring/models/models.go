// Package models embeds the two models that pith scores with, so that a binary which imports it needs no download.
// It imports nothing: only a program that links it carries the 135 MB.
package models

import _ "embed"

// Decoder is SmolLM2-135M-Instruct as a GGUF file (matrices Q4_1, embedding Q8_0, norms F32).
// Apache-2.0, HuggingFaceTB.
//
//go:embed SmolLM2-135M-Instruct.Q4_1.gguf
var Decoder string

// Encoder is bge-small-en-v1.5 as a GGUF file (matrices Q8_0, the rest F32).
// MIT, BAAI.
//
//go:embed bge-small-en-v1.5.Q8_0.gguf
var Encoder string
