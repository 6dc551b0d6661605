package proxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf16"
)

// documentsHeader tells a client that asked with "X-Pith-Report: documents" what became of each of its documents:
//
//	X-Pith-Documents: {"documents":[{"index":0,"turn":0,"name":"a.md","tokens":900,"kept":120}],"omitted":0}
//
// A header, because it is the one place that every client can read before the first event of a stream, and all that it
// says is decided before the upstream is asked. Trailers come too late to be shown with the answer, need TE: trailers, and
// are dropped by fetch, by most SDKs and by many proxies; an event or a member of our own would change the answer's
// bytes. It is JSON in ASCII and stays below what clients accept of a header: of a long list the earliest documents are left
// out and counted in "omitted"; the receipt has them all, its texts in the same order.
const documentsHeader = "X-Pith-Documents"

const (
	// maxDocuments bounds the header's value, in bytes: clients and proxies take 8 KiB for all headers at least.
	maxDocuments = 4 << 10
	// maxDocumentName bounds the name in it, in bytes, before it is escaped. The index tells documents apart.
	maxDocumentName = 120
)

// documentFate is what became of one text.
type documentFate struct {
	// Index is the text's place among all of the request, in the order of the talk; Turn that of its turn.
	Index int `json:"index"`
	Turn  int `json:"turn"`
	// Name is the path, title or tool that the text came from; empty if unknown.
	Name string `json:"name"`
	// Tokens is the text's size, Kept how many of them were forwarded: 0 is a document that was dropped. Where the turn failed
	// open its size was not counted: both are -1.
	Tokens int `json:"tokens"`
	Kept   int `json:"kept"`
}

// documentList is the header's value.
func documentList(report Report) string {
	var all []documentFate
	for i, turn := range report.Turns {
		for j, text := range turn.Texts {
			fate := documentFate{Index: len(all), Turn: i, Name: headOf(text.Name, maxDocumentName), Tokens: -1, Kept: -1}
			if turn.Err == nil {
				result := turn.Result.Texts[j]
				fate.Tokens, fate.Kept = result.TokensIn, result.TokensIn
				if replaces(result) && !report.Replayed && report.Skip == NotSkipped {
					fate.Kept = 0
					for _, segment := range result.Segments {
						fate.Kept += segment.KeptTokens
					}
				}
			}
			all = append(all, fate)
		}
	}
	list, omitted := "", 0
	const room = maxDocuments - len(`{"documents":[],"omitted":2147483647}`)
	for i, fate := range slices.Backward(all) { // the latest are what the question is about
		one, err := json.Marshal(fate)
		if err != nil {
			panic("proxy: a document's fate does not marshal: " + err.Error())
		}
		entry := inASCII(string(one))
		if list != "" {
			entry += ","
		}
		if len(list)+len(entry) > room {
			omitted = i + 1
			break
		}
		list = entry + list
	}
	return fmt.Sprintf(`{"documents":[%s],"omitted":%d}`, list, omitted)
}

// inASCII escapes what is not ASCII in JSON.
func inASCII(text string) string {
	var out []byte
	for _, r := range text {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return string(out)
}
