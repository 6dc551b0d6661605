package eval

import (
	"fmt"
	"io"
	"strings"
)

// mostLost is the share of gold that may be lost on the way through the proxy.
const mostLost = 0.03

// writeProxied writes how much gold is lost where cases went through a proxy, if any did.
func (r Report) writeProxied(w io.Writer) {
	type sum struct{ direct, proxied, n float64 }
	all := map[string]*sum{}
	var order []string
	line := func(task, scorer string, rate string, n int, reached, direct, proxied float64) {
		verdict := "yes"
		if direct-proxied > mostLost+roundingError {
			verdict = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.2f\t%.3f\t%.3f\t%+.3f\t%s\n", task, scorer, rate, n, reached, direct, proxied, direct-proxied, verdict)
	}
	for _, row := range r.Results {
		scorer, ok := strings.CutSuffix(row.Scorer, viaProxy)
		gold := row.Metrics[GoldShare]
		if !ok || gold.N == 0 {
			continue
		}
		if len(order) == 0 {
			fmt.Fprintf(w, "\nThrough the proxy: the share of gold that the upstream received, and the loss against the same scorer without; at most %v\nmay be lost.\n", mostLost)
			fmt.Fprintln(w, "task\tscorer\trate\tn\treached\tdirect\tvia proxy\tloss\twithin")
		}
		for _, direct := range r.Results {
			if direct.Task != row.Task || direct.Scorer != scorer || direct.Rate != row.Rate {
				continue
			}
			line(row.Task, scorer, fmt.Sprint(row.Rate), gold.N, row.Metrics[RateReached].Mean, direct.Metrics[GoldShare].Mean, gold.Mean)
			key := fmt.Sprintf("%s\t%v", scorer, row.Rate)
			if all[key] == nil {
				all[key], order = &sum{}, append(order, key)
			}
			s := all[key]
			n := float64(gold.N)
			s.direct, s.proxied, s.n = s.direct+n*direct.Metrics[GoldShare].Mean, s.proxied+n*gold.Mean, s.n+n
		}
	}
	for _, key := range order {
		s := all[key]
		scorer, rate, _ := strings.Cut(key, "\t")
		verdict := "yes"
		if (s.direct-s.proxied)/s.n > mostLost+roundingError {
			verdict = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f\t\t%.3f\t%.3f\t%+.3f\t%s\n", allTasks, scorer, rate, s.n, s.direct/s.n, s.proxied/s.n, (s.direct-s.proxied)/s.n, verdict)
	}
}
