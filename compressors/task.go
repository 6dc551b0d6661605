package compressors

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Task says what a query asks to be done with its texts.
type Task uint8

// The tasks. TaskAnswer is what a part of the texts can answer; the others need all of every text.
const (
	TaskAnswer Task = iota
	TaskSummarise
	TaskTranslate
	TaskCount
	TaskRewrite
	TaskReview
	TaskCompact // a client's own request to shorten its conversation
)

var taskNames = [...]string{"answer", "summarise", "translate", "count", "rewrite", "review", "compact"}

// String returns the task in lower case, such as "summarise".
func (t Task) String() string {
	if int(t) < len(taskNames) {
		return taskNames[t]
	}
	return fmt.Sprintf("Task(%d)", uint8(t))
}

// WholeText reports whether query asks for something that needs all of every text: nothing may be elided then.
func WholeText(query string) bool { return TaskOf(query) != TaskAnswer }

// taskBytes is how much of each end of a query is read: what is asked stands before or after what is pasted.
const taskBytes = 600

// TaskOf recognises what query asks by fixed rules: its first and its last sentences are read, and one that orders a text
// to be summarised, translated, counted, rewritten or reviewed as a whole decides. "Summarise the discussion about prices"
// asks for a part, "translate 'good morning'" for no text at all: both are answers.
func TaskOf(query string) Task {
	query = strings.NewReplacer("’", "'", "“", `"`, "”", `"`, "\r", "").Replace(query)
	head, tail := query, ""
	if len(query) > 2*taskBytes {
		head, tail = query[:taskBytes], query[len(query)-taskBytes:]
	}
	if slices.ContainsFunc([]string{head, tail}, compaction.MatchString) {
		return TaskCompact
	}
	for _, part := range []string{head, tail} {
		for _, sentence := range sentencesOf(part) {
			if task := taskOfSentence(sentence); task != TaskAnswer {
				return task
			}
		}
	}
	return TaskAnswer
}

// sentencesOf cuts a piece of a query into its sentences, without those that go on past its ends.
func sentencesOf(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\n")
		for from := 0; from < len(line); {
			to := sentenceEnd(line, from)
			if s := strings.Trim(line[from:to], " \t>*#-_"); s != "" {
				list = append(list, s)
			}
			from = to
		}
	}
	return list
}

// What the rules are made of. A thing is a text as a whole, by a pronoun or with an article and up to three plain words.
const (
	polite = `^(?:(?:please|kindly|now|then|first|next|finally|hi|hey|hello|ok|okay|so|also|thanks)[,.!:]? )*` +
		`(?:(?:can|could|would|will) (?:you|u)(?: please| kindly| also)? |i(?: want|'d like| would like| need)(?: you)? to |we need (?:you )?to |` +
		`your (?:task|job|goal) is to |help me (?:to )?|let's |you (?:should|must|will|are to|are asked to) |(?:task|instruction|request|question|prompt): |` +
		`go ahead and |try to |using (?:the|this) [a-z]+, )*(?:please )?(?:briefly |carefully |quickly |thoroughly |just |only |fully )?`
	noun = `(?:texts?|documents?|docs?|articles?|reports?|papers?|(?:web ?)?pages?|website|files?|meetings?|transcripts?|conversations?|discussions?|` +
		`chats?|threads?|dialogues?|dialogs?|e-?mails?|messages?|story|stories|books?|chapters?|passages?|paragraphs?|contents?|materials?|logs?|` +
		`code|source(?: code)?|repo|repository|codebase|modules?|scripts?|changes|changeset|diffs?|patch(?:es)?|commits?|pull requests?|prs?|notes?|` +
		`results?|outputs?|data|datasets?|tables?|contracts?|agreements?|letters?|reviews?|essays?|posts?|interviews?|lectures?|speech|study|drafts?|` +
		`resume|cv|manuscript|poems?|lyrics|json|csv|yaml|xml|html|markdown|lists?|spreadsheets?|information|following|above|below|context|session|` +
		`history|readme|documentation|specifications?|spec|policy|policies|proposals?|presentations?|slides|news|input|comments|feedback|everything)`
	thing = `(?:(?:all (?:of )?|each of |every one of |both )?(?:(?:the|this|that|these|those|my|our|your|each|every|all) )?(?:[a-z'-]+ ){0,3}` + noun + `\b|` +
		`(?:it|this|them|everything|all of (?:it|this|them|that)|what (?:is|was) (?:said|written|discussed)|the (?:above|below|following))\b)`
	// focus goes on from a thing to the part of it that is wanted.
	focus = `^(?:'s?)? *(?:about|on|regarding|concerning|related|relating|when|where|whose|which|that (?:deal|mention|concern|discuss|talk|contain|relate|are about|were about)|around|between|with respect|in terms of|for (?:any|errors|how|why|what)|of [` + "`" + `"']|` +
		`of (?:the )?(?:[a-z'-]+ )?(?:function|class|method|variable|decision|design|idea|opinion)|section|and (?:answer|tell me (?:what|why|how|if|who|where|when)|find|determine|explain why)|to (?:find|determine|see|answer|answer|understand why|locate|identify the))\b`
	container = `(?:files?|logs?|lists?|texts?|documents?|tables?|data|dataset|json|csv|spreadsheet|code|codebase|repository|repo|conversation|transcript|` +
		`page|output|response|results|articles?|report|passages?|paragraphs?|diff|commit|context|input|message|essay|book|chapter|story|above|below|array|collection|changes|meeting|thread|email)`
	countable = `(?:words?|lines?|rows?|columns?|paragraphs?|passages?|sentences?|characters?|letters?|entries|records?|tokens?|items?|tests?|errors?|` +
		`warnings?|failures?|files?|functions?|methods?|classes|messages?|occurrences?|mentions?|instances?|duplicates?|orders?|users?|events?|requests?|questions?|names?|numbers?)`
)

// rule recognises a task in a sentence: pattern matches what opens it, up to the thing that it is done to; what follows
// must not narrow the thing.
type rule struct {
	task    Task
	pattern *regexp.Regexp
	// onThing says that pattern ends with a thing, so that the next word must not go on with its name.
	onThing bool
}

func order(verbs string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)` + polite + `(?:` + verbs + `)`)
}

// orderOn is the rule for verbs whose object is a thing.
func orderOn(task Task, verbs string) rule {
	return rule{task: task, pattern: order(verbs + " " + thing), onThing: true}
}

var rules = []rule{
	orderOn(TaskSummarise, `(?:summari[sz]e|sum up|recap|condense|outline|synopsi[sz]e|distil|digest|boil down)(?: for me)?,?`),
	{task: TaskSummarise, pattern: order(`(?:give|write|provide|create|produce|make|draft|prepare|generate|compose|get)(?: me| us)? (?:an? |the |some )?(?:[a-z0-9-]+ ){0,4}?(?:summary|summaries|overview|synopsis|recap|abstract|tl;?dr|digest|outline|minutes|executive summary|key points|main points|takeaways)(?: (?:of|for|from) ` + thing + `)`)},
	{task: TaskSummarise, pattern: order(`(?:what (?:is|are|was|were)|list|give me|extract|identify|name|highlight) the (?:main|key|most important|principal|central) (?:points?|topics?|ideas?|takeaways?|themes?|arguments?|findings?|messages?|facts)(?: (?:of|in|from) ` + thing + `| here|\W*$)`)},
	{task: TaskSummarise, pattern: order(`(?:what (?:is|was)|tell me what) (?:(?:the general discussion of|discussed in) )?(?:the |this |that )?(?:whole |entire )?(?:` + noun + `|this) (?:is |was )?(?:all |mainly )?about\W*$|what was the general discussion of the meeting`)},
	{task: TaskSummarise, pattern: order(`(?:tl;?dr|summary|summari[sz]e|summari[sz]e briefly|recap|sum up)(?: please| now| in .*)?\W*$|(?:an? )?(?:(?:short|brief|quick|concise|detailed|executive|one-page|full|final) ){0,2}summary(?: of ` + thing + `)?\W*$|(?:tl;?dr|summari[sz]e)\b.{0,30}\b(?:words|sentences?|bullets?|bullet points|paragraphs?)\W*$`)},
	orderOn(TaskTranslate, `(?:translate|localize|localise)(?: for me)?,?`),
	{task: TaskTranslate, pattern: order(`translate(?: (?:in)?to [a-z]+(?: and [a-z]+)?)\W*$|(?:give|provide|write|make|produce)(?: me)? an? (?:[a-z]+ ){0,2}translation(?: (?:of|for) ` + thing + `|\W*$)`)},
	{task: TaskCount, pattern: order(`(?:how many|what number of|tell me how many|determine how many|count how many|state how many) (?:[a-z'-]+ ){1,5}(?:.{0,60} )?(?:in|of|on|within|from|across|throughout|by|does|do) (?:(?:the|this|that|these|those|my|our|your|all|it) )(?:[a-z'-]+ ){0,2}` + container)},
	{task: TaskCount, pattern: order(`how many (?:unique |distinct |different |total |such )*` + countable + `(?: (?:are|were|is) (?:there|listed|shown|given|above|below)|(?: in total)?\W*$| (?:above|below|here))`)},
	{task: TaskCount, pattern: order(`(?:count|tally|enumerate)(?: up)? (?:all|the|how many|every|each|up)\b`)},
	{task: TaskCount, pattern: order(`.{0,80}\b(?:how many (?:unique|distinct|different|non-repeating) ` + countable + ` there are)`)},
	{task: TaskCount, pattern: order(`(?:what is|what's|calculate|compute|find|give me|tell me|work out|determine|report) the (?:[a-z]+ )?(?:total|sum|average|mean|median|maximum|minimum|distribution|number)(?: [a-z]+){0,3} (?:of|over|across|for) (?:all|every|each)\b`)},
	orderOn(TaskRewrite, `(?:rewrite|re-write|rephrase|reword|paraphrase|proofread|proof-read|copy-?edit|polish|reformat|format|restructure|convert|transcribe|transform|simplify|shorten|expand|refactor|port|modernize|modernise|clean up|tidy up|edit|improve|correct|lint|prettify|minify|redact|anonymi[sz]e|transliterate|annotate|type|number)`),
	{task: TaskRewrite, pattern: order(`(?:fix|correct|check|improve) (?:all |any |every )?(?:of )?(?:the |its )?(?:grammar|spelling|typos|punctuation|grammatical errors|spelling mistakes)\b`)},
	{task: TaskRewrite, pattern: order(`(?:turn|make|change|put) (?:this|it|` + thing + `) into [a-z]+`)},
	{task: TaskRewrite, pattern: order(`(?:add|write|generate|insert) (?:[a-z-]+ ){1,4}(?:to|for) (?:(?:all|every|each)\b|(?:this|the (?:whole|entire)) (?:[a-z]+ )?` + noun + `)`)},
	orderOn(TaskReview, `(?:review|audit|critique|grade|go (?:through|over)|comment on|give (?:me )?(?:your )?feedback (?:on|about)|provide feedback on|code[- ]review|peer[- ]review|do a (?:[a-z]+ )?review of|perform a (?:[a-z]+ )?review of|look over|inspect all of|walk (?:me )?through)`),
	{task: TaskReview, pattern: order(`(?:(?:find|list|identify|point out|spot|report|fix|flag|detect|highlight)(?: me)?) (?:all|every|each|any and all)(?: of)?(?: the)?(?: possible| potential)? (?:[a-z-]+ ){0,2}?(?:bugs?|errors?|typos?|issues?|problems?|mistakes?|vulnerabilit(?:y|ies)|defects?|inconsistenc(?:y|ies)|contradictions?|weaknesses|spelling errors)(?: (?:in|of|from|within|across) ` + thing + `|\W*$)`)},
	{task: TaskReview, pattern: order(`(?:(?:list|enumerate|extract|identify|collect|show|name|find|get|give)(?: me)?) (?:a (?:complete|full|exhaustive) list of(?: all)?|all|every|each)(?: of)?(?: the)? (?:[a-z'-]+ ){1,5}?(?:(?:in|from|of|within|across|mentioned in|contained in|that appear in|found in|used in|defined in|listed in) (?:the|this|that|these|those|my|our) (?:[a-z'-]+ ){0,2}` + container + `)`)},
	{task: TaskReview, pattern: order(`for (?:each|every) (?:single )?(?:` + countable + `|` + noun + `)\b.{0,20}, (?:write|give|list|state|say|provide|tell|explain|assign|classify|decide|output|produce|describe)`)},
	{task: TaskReview, pattern: order(`(?:classify|label|categori[sz]e|sort|rank|deduplicate|group|cluster|tag|order) (?:all|every|each|these|those|the following)\b`)},
	{task: TaskReview, pattern: order(`(?:compare|contrast) (?:these|those|both|the two|all|the following|the) (?:[a-z0-9'-]+ ){0,2}?` + noun + `(?:\W*$| and (?:list|describe|explain|summari[sz]e)\b)`)},
}

// compaction finds a client's request to shorten its own conversation, wherever it stands.
var compaction = regexp.MustCompile(`(?i)summary of (?:the|our|this) conversation (?:so far|above|up to)|context checkpoint compaction|handoff summary|` +
	`compact(?:ion of)? (?:the|this|our) (?:conversation|context|history)|summari[sz]e (?:the|this|our) (?:partial |entire |whole |current |above )?(?:conversation|chat|session|dialogue)(?: history)?\b[^?]{0,60}(?:so far|above|to continue|for (?:context|another|the next)|\.|:|$)|` +
	`<state_snapshot>|prompt for continuing our conversation|summari[sz]ation request is a system operation|continue(?:d)? (?:this|the) (?:task|conversation) in a new (?:context|session|window)`)

// foreign are orders for a whole text in other languages; narrows are words that ask for a part of it.
var (
	foreign = []rule{
		// German, Dutch
		{task: TaskSummarise, pattern: regexp.MustCompile(`(?i)^(?:bitte )?(?:kannst du |können sie )?(?:fass(?:e|en sie|t)?\b.*\bzusammen|.*\bzusammenfass(?:en|ung)\b|vat\b.*\bsamen|geef (?:een )?samenvatting)`)},
		{task: TaskTranslate, pattern: regexp.MustCompile(`(?i)^(?:bitte )?(?:kannst du |können sie )?(?:übersetz(?:e|en|t)?\b|.*\bübersetzen\W*$|vertaal\b)`)},
		{task: TaskCount, pattern: regexp.MustCompile(`(?i)^(?:bitte )?(?:zähl(?:e|en|t)?\b|wie ?viele (?:wörter|zeilen|einträge|fehler|sätze|absätze|datensätze)\b|tel (?:alle|de|het)\b)`)},
		{task: TaskRewrite, pattern: regexp.MustCompile(`(?i)^(?:bitte )?(?:schreib(?:e|en sie)?\b.*\bum\W*$|formulier(?:e|en sie)?\b.*\bum\b|korrigier(?:e|en sie)?\b|überarbeite\b|herschrijf\b)`)},
		// French, Spanish, Italian, Portuguese
		{task: TaskSummarise, pattern: regexp.MustCompile(`(?i)^(?:s'il (?:te|vous) pla[iî]t,? |por favor,? |per favore,? )?(?:(?:peux-tu|pouvez-vous|puedes|podrías|puoi|pode) )?(?:résume[rz]?\b|fai(?:s|tes)(?:-moi)? un résumé|resum(?:e|ir|a|en|irme)\b|resúme(?:me|lo)?\b|haz(?:me)? un resumen|fa(?:ça|z) um resumo|riassum(?:i|ere|a)\b|fai(?:mi)? un riassunto)`)},
		{task: TaskTranslate, pattern: regexp.MustCompile(`(?i)^(?:s'il (?:te|vous) pla[iî]t,? |por favor,? |per favore,? )?(?:(?:peux-tu|pouvez-vous|puedes|puoi|pode) )?(?:tradui(?:s|sez|re)\b|traduc(?:e|ir|i|a)\b|tradúce(?:lo|me)?\b|traduza\b|tradur(?:re)\b)`)},
		{task: TaskCount, pattern: regexp.MustCompile(`(?i)^(?:por favor,? )?(?:compte[rz]?\b|cuenta (?:las|los|el|cuántas|cuántos)\b|conta(?:re)? (?:le|i|gli|quante|quanti)\b|conte (?:as|os|quantas|quantos)\b|combien de (?:mots|lignes|entrées|erreurs)\b|cuántas? (?:palabras|líneas)\b)`)},
		{task: TaskRewrite, pattern: regexp.MustCompile(`(?i)^(?:por favor,? )?(?:réécri(?:s|vez)\b|reformule[rz]?\b|corrige[rz]?\b|reescrib(?:e|ir|a)\b|riscriv(?:i|ere)\b|reescrev(?:a|er)\b|corregg(?:i|ere)\b|corrij(?:a|e)\b)`)},
		// Russian, Polish, Turkish
		{task: TaskSummarise, pattern: regexp.MustCompile(`(?i)^(?:пожалуйста,? )?(?:резюмируй|суммируй|кратко (?:изложи|перескажи)|сделай (?:краткое )?(?:резюме|содержание)|перескажи|podsumuj|streść|.*\bözetle)`)},
		{task: TaskTranslate, pattern: regexp.MustCompile(`(?i)^(?:пожалуйста,? )?(?:переведи|przetłumacz|.*\bçevir\b)`)},
		{task: TaskRewrite, pattern: regexp.MustCompile(`(?i)^(?:пожалуйста,? )?(?:перепиши|перефразируй|исправь (?:все )?(?:ошибки|текст)|przeredaguj|popraw tekst)`)},
		{task: TaskCount, pattern: regexp.MustCompile(`(?i)^(?:посчитай|сосчитай|policz)`)},
		// Chinese, Japanese, Korean
		{task: TaskSummarise, pattern: regexp.MustCompile(`总结|概括|摘要|归纳|總結|要約|まとめて|요약`)},
		{task: TaskTranslate, pattern: regexp.MustCompile(`翻译|翻譯|翻訳|번역`)},
		{task: TaskRewrite, pattern: regexp.MustCompile(`改写|润色|改寫|潤色|書き直|リライト|校正|다시 써|교정`)},
		{task: TaskCount, pattern: regexp.MustCompile(`统计.*(?:数量|个数|次数|多少)|(?:一共|总共)有多少(?:行|字|个|条)|何(?:行|文字|件)ありますか|몇 (?:줄|단어|개)`)},
	}
	narrows = regexp.MustCompile(`(?i)关于|對於|について|に関する|에 대한|, (?:was|wie|warum|ce que|lo que|quel)\b|\b(?:über|zum thema|bezüglich|à propos|concernant|sobre|acerca de|riguardo|a respeito|относительно|dotycząc\w+|hakkında)\b|["'„«「“].{2,}["'”»」]`)
)

// taskOfSentence returns the task that one sentence orders.
func taskOfSentence(sentence string) Task {
	if len(sentence) > 400 {
		return TaskAnswer
	}
	for _, r := range rules {
		at := r.pattern.FindStringIndex(sentence)
		if at == nil {
			continue
		}
		rest := sentence[at[1]:]
		if focused.MatchString(rest) || r.onThing && !follows.MatchString(rest) || r.task != TaskCount && quotes.MatchString(rest) {
			continue
		}
		return r.task
	}
	for _, r := range foreign {
		if r.pattern.MatchString(sentence) && !narrows.MatchString(sentence) {
			return r.task
		}
	}
	return TaskAnswer
}

// focused finds what narrows a thing, quotes what the query itself brings to be worked on; follows matches what may come
// after a thing.
var (
	follows = regexp.MustCompile(`(?i)^(?:\W*$|[^\w\s'"]|\s+(?:in|into|to|for|as|with|by|using|so|and|or|but|from|below|above|of|please|at|now|then|briefly|without|keeping|while|here|again|carefully|thoroughly|line|on|written|given|provided|i|we|you|that|which|has|have|has)\b|\s*["'(:-])`)
	focused = regexp.MustCompile(`(?i)` + focus)
	quotes  = regexp.MustCompile(`: *["'].|["'][^"']{12,}["']`)
)
