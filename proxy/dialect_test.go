package proxy

import "testing"

func TestDialectOfAPath(t *testing.T) {
	for path, want := range map[string]dialect{
		"/v1/chat/completions":                     dialectChat,
		"/chat/completions":                        dialectChat,
		"/openai/deployments/gpt/chat/completions": dialectChat,
		"/v1/completions":                          dialectCompletions,
		"/completions":                             dialectCompletions,
		"/v1/responses":                            dialectResponses,
		"/responses":                               dialectResponses,
		"/v1/codex/responses":                      dialectResponses,
		"/backend-api/codex/responses":             dialectResponses,
		"/v1/responses/input_tokens":               dialectResponses,
		"/v1/responses/compact":                    dialectNone,
		"/v1/responses/resp_1":                     dialectNone,
		"/v1/responses/resp_1/cancel":              dialectNone,
		"/v1/messages":                             dialectMessages,
		"/messages":                                dialectMessages,
		"/v1/messages/count_tokens":                dialectMessages,
		"/v1/messages/batches":                     dialectNone,
		"/v1/threads/t/messages":                   dialectNone,
		"/v1/models":                               dialectNone,
		"/v1/audio/transcriptions":                 dialectNone,
		"/":                                        dialectNone,
	} {
		if got := dialectOf("POST", path); got != want {
			t.Errorf("POST %s is %s, want %s", path, got, want)
		}
		if got := dialectOf("GET", path); got != dialectNone {
			t.Errorf("GET %s is %s", path, got)
		}
	}
}
