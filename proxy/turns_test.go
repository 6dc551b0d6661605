package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// TestQueriesAndSpans shows what each turn of a request is read for, and which of its texts may be shortened, in requests
// as clients write them.
func TestQueriesAndSpans(t *testing.T) {
	long := essay(12, "mill")
	quoted := encode(t, long)
	text := func(s string) string { return encode(t, s) }
	cases := []struct {
		name string
		d    dialect
		body string
		want []string // of each turn: its query, then "| name: first bytes of the span" for each span
	}{
		{
			"Claude Code: a task, a search, a file read", dialectMessages,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":` + text("<system-reminder>\n"+long+"</system-reminder>") + `},{"type":"text","text":"Why does the mill stop?","cache_control":{"type":"ephemeral"}}]},` +
				`{"role":"assistant","content":[{"type":"thinking","thinking":` + quoted + `,"signature":"s"},{"type":"text","text":"I search."},{"type":"tool_use","id":"t1","name":"Grep","input":{"pattern":"stop"}},{"type":"tool_use","id":"t2","name":"Read","input":{"file_path":"/a.py"}}]},` +
				`{"role":"user","content":[{"tool_use_id":"t1","type":"tool_result","content":` + quoted + `},{"tool_use_id":"t2","type":"tool_result","content":` + quoted + `},{"type":"text","text":"<system-reminder>Be brief.</system-reminder>"}]}],` +
				`"system":[{"type":"text","text":"x-anthropic-billing-header: a"},{"type":"text","text":` + quoted + `}]}`,
			[]string{"Why does the mill stop?", "Why does the mill stop?\nI search.\nGrep {\"pattern\":\"stop\"}\nRead {\"file_path\":\"/a.py\"}| Grep: Paragraph 0"},
		},
		{
			"Anthropic: a result in parts, a document with citations and one without", dialectMessages,
			`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":` + quoted + `},"citations":{"enabled":true}},{"title":"log","type":"document","source":{"data":` + quoted + `,"type":"text"}},{"type":"text","text":"What is said of tides?"}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"fetch","input":{"url":"http://a/b"}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":` + quoted + `},{"type":"image","source":{"type":"base64","data":"AA"}}]}]}]}`,
			[]string{"What is said of tides?| log: Paragraph 0", "What is said of tides?\nfetch {\"url\":\"http://a/b\"}| http://a/b: Paragraph 0"},
		},
		{
			"Codex: instructions, a search, and files printed through the shell", dialectResponses,
			`{"model":"m","instructions":` + quoted + `,"input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":` + quoted + `}]},` +
				`{"type":"message","role":"user","content":[{"type":"input_text","text":` + text("# AGENTS.md instructions for /src\n\n<INSTRUCTIONS>\n"+long+"</INSTRUCTIONS>") + `},{"type":"input_text","text":"<environment_context>\n<cwd>/src</cwd>\n</environment_context>"}]},` +
				`{"type":"message","role":"user","content":[{"type":"input_text","text":"Find the bug in the parser."}]},` +
				`{"type":"reasoning","id":"r","summary":[],"encrypted_content":` + quoted + `},` +
				`{"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"rg -n parse\"}","call_id":"c1"},{"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"nl -ba a.go | sed -n '1,200p'\"}","call_id":"c2"},` +
				`{"type":"function_call_output","id":"fco_1","call_id":"c1","output":` + quoted + `},{"type":"function_call_output","id":"fco_2","call_id":"c2","output":` + quoted + `}]}`,
			[]string{
				"Find the bug in the parser.",
				"Find the bug in the parser.\nexec_command {\"cmd\":\"rg -n parse\"}\nexec_command {\"cmd\":\"nl -ba a.go | sed -n '1,200p'\"}| exec_command: Paragraph 0",
			},
		},
		{
			"Responses: custom and local shell tools, a stored item between", dialectResponses,
			`{"input":[{"role":"user","content":"Run the tests."},{"type":"custom_tool_call","name":"run","input":"go test","call_id":"a"},{"type":"custom_tool_call_output","call_id":"a","output":[{"type":"input_text","text":` + quoted + `}]},` +
				`{"type":"item_reference","id":"x"},{"type":"local_shell_call","call_id":"b","action":{"type":"exec","command":["bash","-lc","cat a.go"]}},{"type":"local_shell_call_output","id":"b","output":` + quoted + `}]}`,
			[]string{"Run the tests.", "Run the tests.\nrun go test| run: Paragraph 0", `Run the tests.` + "\n" + `local_shell {"type":"exec","command":["bash","-lc","cat a.go"]}`},
		},
		{
			"Responses: a text as input", dialectResponses,
			`{"input":` + text("<document>\n"+long+"</document>\nWhere is the treasure?") + `}`,
			[]string{"Where is the treasure?| : Paragraph 0"},
		},
		{
			"Responses: the result of a stored call, which may have read a file", dialectResponses,
			`{"input":[{"role":"user","content":"Run the tests."},{"type":"item_reference","id":"fc_1"},{"type":"function_call_output","call_id":"a","output":` + quoted + `},{"id":"fc_2"},` +
				`{"type":"function_call","name":"run","arguments":"","call_id":"b"},{"type":"function_call_output","call_id":"b","output":` + quoted + `}]}`,
			[]string{"Run the tests.", "Run the tests.", "Run the tests.\nrun| run: Paragraph 0"},
		},
		{
			"Anthropic: search results and documents in a tool's result, and a document in parts", dialectMessages,
			`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":` + quoted + `},{"type":"image","source":{"type":"url","url":"u"}}]}},{"type":"text","text":"What is said of tides?"}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"search","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"search_result","source":"u","title":"a","content":[{"type":"text","text":` + quoted + `}]},` +
				`{"type":"search_result","source":"u","title":"b","content":[{"type":"text","text":` + quoted + `}],"citations":{"enabled":true}},` +
				`{"type":"document","source":{"type":"text","media_type":"text/plain","data":` + quoted + `}},{"type":"document","source":{"type":"base64","data":` + quoted + `}},` +
				`{"type":"text","text":` + quoted + `},{"type":"tool_reference","tool_name":"x"}]}]}]}`,
			[]string{"What is said of tides?| : Paragraph 0", "What is said of tides?\nsearch {}| a: Paragraph 0| search: Paragraph 0| search: Paragraph 0"},
		},
		{
			"Cline: results told in the user's name: a file read, a file printed, a search, the user's own words under one", dialectChat,
			`{"messages":[{"role":"user","content":[{"type":"text","text":"<task>\nWhy does the mill stop?\n</task>"},{"type":"text","text":` + text("<environment_details>\n"+long+"</environment_details>") + `}]},` +
				`{"role":"assistant","content":"I look."},{"role":"user","content":[{"type":"text","text":"[read_file for 'a.ts'] Result:"},{"type":"text","text":` + quoted + `},{"type":"text","text":` + text("<environment_details>\n"+long+"</environment_details>") + `}]},` +
				`{"role":"assistant","content":"I print."},{"role":"user","content":[{"type":"text","text":"[execute_command for 'cat a.ts'] Result:"},{"type":"text","text":` + quoted + `},{"type":"text","text":"[replace_in_file for 'a.ts'] Result:"},{"type":"text","text":` + quoted + `}]},` +
				`{"role":"assistant","content":"I search."},{"role":"user","content":` + text("[search_files for 'stop' in '*.ts'] Result:\n"+long) + `},` +
				`{"role":"assistant","content":"Done."},{"role":"user","content":[{"type":"text","text":"[attempt_completion] Result:"},{"type":"text","text":"The user has feedback.\n<feedback>\nAnd the weir?\n</feedback>"}]}]}`,
			[]string{
				"<task>\nWhy does the mill stop?\n</task>", "<task>\nWhy does the mill stop?\n</task>\nI look.", "<task>\nWhy does the mill stop?\n</task>\nI print.",
				"<task>\nWhy does the mill stop?\n</task>\nI search.| stop: Paragraph 0", "The user has feedback.\n<feedback>\nAnd the weir?\n</feedback>\nDone.",
			},
		},
		{
			"aider: what a command printed, and a file that one printed", dialectChat,
			`{"messages":[{"role":"user","content":"Why does the mill stop?"},{"role":"assistant","content":"I cannot say."},{"role":"user","content":` + text("I ran this command:\n\ngrep -n stop *.log\n\nAnd got this output:\n\n"+long) + `},` +
				`{"role":"assistant","content":"Ok."},{"role":"user","content":` + text("I ran this command:\n\ncat a.go\n\nAnd got this output:\n\n"+long) + `}]}`,
			[]string{"Why does the mill stop?", "Why does the mill stop?\nI cannot say.| grep -n stop *.log: Paragraph 0", "Why does the mill stop?\nOk."},
		},
		{
			"a long text as one part, the question as another", dialectChat,
			`{"messages":[{"role":"user","content":[{"type":"text","text":` + text(long+long) + `},{"type":"text","text":"Where is the treasure?"}]}]}`,
			[]string{"Where is the treasure?| : Paragraph 1"},
		},
		{
			"a long text that asks as one part, an order as another", dialectChat,
			`{"messages":[{"role":"user","content":[{"type":"text","text":` + text(long+long+"Where is the treasure?") + `},{"type":"text","text":"Answer in German, please."}]}]}`,
			[]string{"Where is the treasure?\nAnswer in German, please.| : Paragraph 1"},
		},
		{
			"opencode: a file read and a search", dialectChat,
			`{"messages":[{"role":"system","content":` + quoted + `},{"role":"user","content":"Rename the function."},` +
				`{"role":"assistant","content":"","tool_calls":[{"id":"1","type":"function","function":{"name":"read","arguments":"{\"filePath\":\"/a.go\"}"}},{"id":"2","type":"function","function":{"name":"grep","arguments":"{\"pattern\":\"f\"}"}}]},` +
				`{"role":"tool","tool_call_id":"1","content":` + text("<path>/a.go</path>\n<content>\n"+long+"</content>") + `},{"role":"tool","tool_call_id":"2","content":` + quoted + `}]}`,
			[]string{"Rename the function.", "Rename the function.\nread {\"filePath\":\"/a.go\"}\ngrep {\"pattern\":\"f\"}| grep: Paragraph 0"},
		},
		{
			"a later question in a tool loop", dialectChat,
			`{"messages":[{"role":"user","content":"Where is it?"},{"role":"assistant","content":"There."},{"role":"user","content":"And what does it weigh?"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"search","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":` + quoted + `}]}`,
			[]string{"Where is it?", "And what does it weigh?", "And what does it weigh?\nsearch {}| search: Paragraph 0"},
		},
		{
			"aider: files that will be edited", dialectChat,
			`{"messages":[{"role":"user","content":` + text("I have *added these files to the chat* so you can go ahead and edit them.\n\na.py\n```\n"+code(1)+"```\n") + `},{"role":"assistant","content":"Ok."},{"role":"user","content":"Rename ballast_3."}]}`,
			[]string{"", "Rename ballast_3."},
		},
		{
			"Continue: its context and the user's rules are instructions", dialectChat,
			`{"messages":[{"role":"system","content":` + text("Use the tools to answer the user's question.\n\nAs you answer the user's questions, you can use the following context:\n\n<context name=\"gitStatus\">"+long+"</context>\n\n<context name=\"userRules\">\n"+long+"\n</context>") + `},{"role":"user","content":"Where is the treasure?"}]}`,
			[]string{"Where is the treasure?"},
		},
		{
			"LlamaIndex, as a completion", dialectCompletions,
			`{"prompt":` + text("Context information is below.\n---------------------\n"+long+"\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: Where is the treasure?\nAnswer: ") + `}`,
			[]string{"Where is the treasure?| : Paragraph 0"},
		},
		{
			"LangChain: question first", dialectChat,
			`{"messages":[{"role":"user","content":` + text("You are an assistant for question-answering tasks. Use the following pieces of retrieved context to answer the question. Keep it short.\nQuestion: Where is the treasure? \nContext: "+long+"\nAnswer:") + `}]}`,
			[]string{"Where is the treasure?| : Paragraph 0"},
		},
		{
			"LangChain: question last", dialectChat,
			`{"messages":[{"role":"user","content":` + text("Use the following pieces of context to answer the question at the end.\n\n"+long+"\nQuestion: Where is the treasure?\nHelpful Answer:") + `}]}`,
			[]string{"Where is the treasure?| : Paragraph 0"},
		},
		{
			"LangChain: documents in the system message", dialectChat,
			`{"messages":[{"role":"system","content":` + text("You are an assistant for question-answering tasks. Use the following pieces of retrieved context to answer the question.\n\n"+long) + `},{"role":"user","content":"Where is the treasure?"},{"role":"assistant","content":"There."},{"role":"user","content":"And the captain?"}]}`,
			[]string{"Where is the treasure?| : Paragraph 0", "And the captain?"},
		},
		{
			"documents under tags in the system text, a greeting before the question", dialectMessages,
			`{"system":` + text("Answer from these.\n<documents>\n"+long+"</documents>\n<rules>\n"+long+"</rules>") + `,"messages":[{"role":"user","content":"Hello"}]}`,
			[]string{"Hello"},
		},
		{
			"documents under tags in the system text", dialectMessages,
			`{"system":` + text("Answer from these.\n<documents>\n"+long+"</documents>\n<rules>\n"+long+"</rules>") + `,"messages":[{"role":"user","content":"Where is the treasure?"}]}`,
			[]string{"Where is the treasure?| : Paragraph 0"},
		},
		{
			"a rule of the configuration", dialectChat,
			`{"messages":[{"role":"system","content":` + text("FACTS>>"+long+"<<FACTS Be kind.") + `},{"role":"user","content":"Where is the treasure?"}]}`,
			[]string{"Where is the treasure?| : Paragraph 0"},
		},
		{
			"context without a label for the question", dialectChat,
			`{"messages":[{"role":"user","content":` + text("Answer the question from the following context:\n\n"+long+"\nWhere is the treasure?") + `}]}`,
			[]string{"Answer the question from the following context:\n\nWhere is the treasure?| : Paragraph 0"},
		},
		{
			"code to be completed", dialectCompletions,
			`{"suffix":"\n","prompt":` + text(strings.Repeat(code(3), 2)+"def last(x):\n    return ") + `}`,
			[]string{"…def last(x):\n    return| : def ballast"},
		},
		{
			"code to be filled in, several prompts", dialectCompletions,
			`{"prompt":["short",[1,2],` + text("<|fim_prefix|>"+strings.Repeat(code(3), 2)+"def last(x):\n    return <|fim_suffix|>\n<|fim_middle|>") + `]}`,
			[]string{"", "…def last(x):\n    return| : def ballast"},
		},
		{
			"a conversation spelled out", dialectCompletions,
			`{"prompt":` + text("<|im_start|>user\n"+strings.Repeat(long, 3)+"\nQuestion: Where?<|im_end|>\n<|im_start|>assistant\n") + `}`,
			[]string{""},
		},
	}
	rules, err := ParseDocumentRules("FACTS>>...<<FACTS\n\n[[...]]\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseDocumentRules("no dots"); err == nil {
		t.Error("a rule without dots passes")
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			parsed, err := c.d.parse([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			turns, _ := findTurns(parsed, policy{}, false, rules)
			for _, turn := range turns {
				var b strings.Builder
				b.WriteString(turn.query)
				for _, span := range turn.spans {
					fmt.Fprintf(&b, "| %s: %.11s", span.text.Name, strings.TrimSpace(span.text.Content))
				}
				got = append(got, b.String())
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d turns, want %d: %q", len(got), len(c.want), got)
			}
			for i, want := range c.want {
				if end, ok := strings.CutPrefix(want, "…"); ok && strings.HasSuffix(got[i], end) {
					continue
				}
				if got[i] != want {
					t.Errorf("turn %d:\n%q\nwant\n%q", i, got[i], want)
				}
			}
		})
	}
}

// TestPromptTemplates finds the documents, no more and no less, and the question in prompts as the defaults of frameworks and
// programs spell them.
func TestPromptTemplates(t *testing.T) {
	const ask = "Where is the treasure?"
	docs := essay(12, "mill")
	cases := []struct{ name, system, user, query string }{
		{"LangChain: chat", "Use the following pieces of context to answer the user's question. \nIf you don't know the answer, just say that you don't know, don't try to make up an answer.\n----------------\n" + docs, ask, ask},
		{"LangChain: map", "Use the following portion of a long document to see if any of the text is relevant to answer the question. \nReturn any relevant text verbatim.\n______________________\n" + docs, ask, ask},
		{
			"LangChain: refine", "", "Context information is below. \n------------\n" + docs + "\n------------\nGiven the context information and not prior knowledge, answer the question: " + ask + "\n",
			"Context information is below. \n------------\n------------\nGiven the context information and not prior knowledge, answer the question: " + ask,
		},
		{
			"LangChain: sources, behind an example", "",
			"Given the following extracted parts of a long document and a question, create a final answer with references (\"SOURCES\"). \nALWAYS return a \"SOURCES\" part in your answer.\n\n" +
				"QUESTION: Which law governs the contract?\n=========\nContent: This Agreement is governed by English law.\nSource: 28-pl\n=========\nFINAL ANSWER: This Agreement is governed by English law.\nSOURCES: 28-pl\n\n" +
				"QUESTION: " + ask + "\n=========\n" + docs + "=========\nFINAL ANSWER:",
			ask,
		},
		{
			"LlamaIndex: refine", "",
			"The original query is as follows: " + ask + "\nWe have provided an existing answer: In the mill.\nWe have the opportunity to refine the existing answer (only if needed) with some more context below.\n------------\n" + docs +
				"\n------------\nGiven the new context, refine the original answer to better answer the query. If the context isn't useful, return the original answer.\nRefined Answer: ",
			"The original query is as follows: " + ask + "\nWe have provided an existing answer: In the mill.\nWe have the opportunity to refine the existing answer (only if needed) with some more context below.\n------------\n" +
				"------------\nGiven the new context, refine the original answer to better answer the query. If the context isn't useful, return the original answer.\nRefined Answer:",
		},
		{"LlamaIndex: several sources", "", "Context information from multiple sources is below.\n---------------------\n" + docs + "\n---------------------\nGiven the information from multiple sources and not prior knowledge, answer the query.\nQuery: " + ask + "\nAnswer: ", ask},
		{"LlamaIndex: chat engine", "Use the context information below to assist the user.\n--------------------\n" + docs + "\n--------------------\n", ask, ask},
		{
			"LlamaIndex: condensed chat", "\n  The following is a friendly conversation between a user and an AI assistant.\n  If the assistant does not know the answer to a question, it truthfully says it\n  does not know.\n\n" +
				"  Here are the relevant documents for the context:\n\n  " + docs + "\n\n  Instruction: Based on the above documents, provide a detailed answer for the user question below.\n  Answer \"don't know\" if not present in the document.\n  ",
			ask, ask,
		},
		{
			"LlamaIndex: citations, behind an example", "",
			"Please provide an answer based solely on the provided sources. For example:\nSource 1:\nWater is wet when the sky is red.\nQuery: When is water wet?\nAnswer: Water will be wet when the sky is red [1].\n" +
				"Now it's your turn. Below are several numbered sources of information:\n------\n" + docs + "\n------\nQuery: " + ask + "\nAnswer: ",
			ask,
		},
		{"Haystack: query first", "", "Answer the following query based on the provided context. If the context does\nnot include an answer, reply with 'I don't know'.\n\nQuery: " + ask + "\nDocuments:\n\n    " + docs + "\n\nAnswer:\n", ask},
		{"Haystack: documents on the line of their label", "", "Given the provided Documents, answer the Query. Make your answer detailed and long\n\nQuery: " + ask + "\nDocuments: " + docs + "\nAnswer:", ask},
		{
			"DSPy", "", "[[ ## context ## ]]\n" + docs + "\n[[ ## question ## ]]\n" + ask + "\n\nRespond with the corresponding output fields, starting with the field `[[ ## answer ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`.",
			ask + "\n\nRespond with the corresponding output fields, starting with the field `[[ ## answer ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`.",
		},
		{"Supabase", "", "Given the following sections from the documentation, answer the question using only that information.\n\nContext sections:\n" + docs + "\n\nQuestion: " + ask + "\n\nAnswer:", ask},
		{"Azure's demo", "Answer ONLY with the facts listed in the list of sources below.", ask + "\n\nSources:\n\n" + docs, ask + "\n\nSources:"},
		{"RAGFlow", "Please summarize the content of the knowledge base to answer the question.\n      Here is the knowledge base:\n      " + docs + "\n      The above is the knowledge base.", ask, ask},
		{"headings under a line", "", "Context:\n--------\n" + docs + "\nQuestion:\n---------\n" + ask, "---------\n" + ask},
		{"headings", "", "## Documents:\n\n" + docs + "\n## Question:\n" + ask, ask},
		{"bold labels", "", "**Context:**\n\n" + docs + "\n**Question:** " + ask, ask},
		{"a tag within a line", "", ask + " <pith>" + docs + "</pith>", ask},
		{"a tag within a line, under a label", "", "Context: <context>" + docs + "</context>\nQuestion: " + ask, ask},
		{"a tag within a line of the system text, and one that is spoken of", "Answer from what is inside <context></context> tags. Facts: <documents>" + docs + "</documents> Be brief.", ask, ask},
		{"a tag that is spoken of and one that is used", "Answer from what is inside the <context> tags.\n<context>\n" + docs + "</context>", ask, ask},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body := `{"messages":[{"role":"system","content":` + encode(t, c.system) + `},{"role":"user","content":` + encode(t, c.user) + `}]}`
			parsed, err := parseChat([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			turns, _ := findTurns(parsed, policy{}, false, nil)
			if turns[0].query != c.query {
				t.Errorf("query %.600q\nwant  %.600q", turns[0].query, c.query)
			}
			if len(turns[0].spans) != 1 {
				t.Fatalf("%d spans", len(turns[0].spans))
			}
			if got := strings.TrimSpace(turns[0].spans[0].text.Content); got != strings.TrimSpace(docs) {
				t.Errorf("documents %.60q … %.60q", got, tailOf(got, 60))
			}
		})
	}
}
