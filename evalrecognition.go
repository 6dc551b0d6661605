package main

import "github.com/pith-llm/pith/eval"

type evalRecognitionCommand struct {
	Data []string `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
}

func (c *evalRecognitionCommand) Run(std streams) error {
	recognition, err := eval.Recognise(c.Data)
	if err != nil {
		return err
	}
	return recognition.WriteText(std.stdout)
}
