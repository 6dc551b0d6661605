package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pith-llm/pith/proxy"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

type verifyCommand struct {
	Receipt   string `arg:"" help:"The receipt, as /receipts/ID of the admin address answers it; - is standard input."`
	Body      string `arg:"" help:"The request's body as the client sent it."`
	Forwarded string `arg:"" optional:"" help:"The body as the upstream received it, to be compared with what the replay gives."`
	Tokenizer string `default:"" enum:",o200k_base,cl100k_base" help:"Also count the tokens, by this vocabulary."`
}

// Help says what is proved.
func (verifyCommand) Help() string {
	return "Replays a receipt without the proxy: proves that the body is the one that came, that everything outside the shortened texts " +
		"is the client's own bytes, that nothing in the shortened texts was invented, and that the outcome is what was forwarded. " +
		"Scores and times are stated by the receipt, not proved."
}

func (c *verifyCommand) Run(std streams) error {
	data, err := readInput(c.Receipt, std.stdin)
	if err != nil {
		return err
	}
	receipt, err := proxy.ParseReceipt(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Receipt, err)
	}
	body, err := readInput(c.Body, std.stdin)
	if err != nil {
		return err
	}
	var count func(string) int
	if c.Tokenizer != "" {
		counter, err := tokenizer.NewCounter(c.Tokenizer)
		if err != nil {
			return err
		}
		count = counter.Count
	}
	forwarded, err := receipt.Verify(body, count)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Receipt, err)
	}
	if c.Forwarded != "" {
		seen, err := readInput(c.Forwarded, std.stdin)
		if err != nil {
			return err
		}
		if !bytes.Equal(seen, forwarded) {
			return errors.New(c.Forwarded + " is not the body that was forwarded: the receipt's is " + receipt.Out.SHA256)
		}
	}
	shortened := 0
	for _, text := range receipt.Texts {
		if text.Shortened {
			shortened++
		}
	}
	became := "was forwarded as it came"
	if receipt.Edited {
		became = fmt.Sprintf("was forwarded with %d of %d texts shortened", shortened, len(receipt.Texts))
	}
	fmt.Fprintf(std.stdout, "request %s %s: %d tokens in, %d out; nothing invented, every other byte the client's; forwarded SHA-256 %s\n",
		receipt.ID, became, receipt.TokensIn, receipt.TokensOut, receipt.Out.SHA256)
	return nil
}
