package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pith-llm/pith/scoring/gguf"
)

type inspectCommand struct {
	File string `arg:"" type:"path" help:"GGUF file."`
}

func (c *inspectCommand) Run(std streams) error {
	file, err := gguf.Open(c.File)
	if err != nil {
		return err
	}
	printModel(std.stdout, file)
	return nil
}

// printModel prints a file's metadata, its tensors, and how many bytes each tensor type takes.
func printModel(w io.Writer, file *gguf.File) {
	fmt.Fprintf(w, "GGUF version %d, %d metadata keys, %d tensors\n\n", file.Version, len(file.Metadata), len(file.Tensors))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, entry := range file.Metadata {
		fmt.Fprintf(table, "%s\t%s\n", entry.Key, entry.Value)
	}
	fmt.Fprintln(table)
	fmt.Fprintln(table, "tensor\ttype\tshape\tbytes")
	bytes, values := map[string]int{}, 0
	for _, tensor := range file.Tensors {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\n", tensor.Name, tensor.Type, strings.Trim(fmt.Sprint(tensor.Shape), "[]"), tensor.Bytes())
		bytes[tensor.Type.String()] += tensor.Bytes()
		values += tensor.Len()
	}
	fmt.Fprintf(table, "\ntotal\t\t%d values\t\n", values)
	for _, kind := range slices.Sorted(maps.Keys(bytes)) {
		fmt.Fprintf(table, "%s\t\t\t%d\n", kind, bytes[kind])
	}
	table.Flush() //nolint:errcheck // a listing on standard output
}
