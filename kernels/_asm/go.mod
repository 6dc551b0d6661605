module github.com/pith-llm/pith/kernels/_asm

go 1.26.0
