package proxybench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// WriteText writes the report as tables. Added is a quantile through pith less the same quantile of direct requests.
func (report Report) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "forwarded\trate direct\trate pith\tdirect p50 ms\tp99\tpith p50 ms\tp99\tadded p50 ms\tp99\tn")
	for _, l := range report.Loads {
		name := fmt.Sprintf("%d in flight", l.InFlight)
		if l.InFlight == 0 {
			name = "as fast as it goes, 16 connections"
		}
		d50, d99, p50, p99 := Quantile(l.Direct, 0.5), Quantile(l.Direct, 0.99), Quantile(l.Pith, 0.5), Quantile(l.Pith, 0.99)
		fmt.Fprintf(table, "%s\t%.0f/s\t%.0f/s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%d\n", name, l.DirectRate, l.PithRate, d50, d99, p50, p99, p50-d50, p99-d99, len(l.Pith))
	}
	fmt.Fprintln(table)
	fmt.Fprintln(table, "event streams\tdirect p50 ms\tp99\tpith p50 ms\tp99\tadded p50 ms\tp99\tn")
	for _, row := range []struct {
		name         string
		direct, pith []float64
	}{{"first event", report.Stream.DirectFirst, report.Stream.PithFirst}, {"each event", report.Stream.DirectEvent, report.Stream.PithEvent}} {
		d50, d99, p50, p99 := Quantile(row.direct, 0.5), Quantile(row.direct, 0.99), Quantile(row.pith, 0.5), Quantile(row.pith, 0.99)
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%d\n", row.name, d50, d99, p50, p99, p50-d50, p99-d99, len(row.pith))
	}
	fmt.Fprintln(table)
	report.Memory.writeText(table, "pith")
	report.BesideMemory.writeText(table, report.Beside)
	if report.Beside != "" {
		report.writeBeside(table)
	}
	if len(report.Compress) > 0 {
		fmt.Fprintln(table)
		fmt.Fprintln(table, "compressed\tcase\tpith p50 ms\tp99\twhole p50 ms\tp99\tshortened")
		for _, c := range report.Compress {
			fmt.Fprintf(table, "%d bytes\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%d of %d\n", c.Bytes, c.Case,
				Quantile(c.Overhead, 0.5), Quantile(c.Overhead, 0.99), Quantile(c.Whole, 0.5), Quantile(c.Whole, 0.99), c.Shortened, len(c.Whole))
		}
	}
	return table.Flush()
}

// writeText writes a proxy's memory, nothing if it was not measured.
func (m Memory) writeText(w io.Writer, name string) {
	if len(m.RSS) > 0 {
		fmt.Fprintf(w, "%s, bodies of 150 KB, 64 in flight\tlargest %.0f MiB\tlast %.0f MiB\t%d requests\n", name, slices.Max(m.RSS), m.RSS[len(m.RSS)-1], m.Requests)
	}
}

// writeBeside writes what pith adds and what the other one does.
func (report Report) writeBeside(w io.Writer) {
	fmt.Fprintln(w)
	fmt.Fprintf(w, "beside %s\trate asked\tpith\t%[1]s\tpith adds p50 ms\tp99\t%[1]s adds p50 ms\tp99\n", report.Beside)
	row := func(name, rates string, direct, pith, beside []float64) {
		d50, d99 := Quantile(direct, 0.5), Quantile(direct, 0.99)
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%.3f\t%.3f\n", name, rates, Quantile(pith, 0.5)-d50, Quantile(pith, 0.99)-d99, Quantile(beside, 0.5)-d50, Quantile(beside, 0.99)-d99)
	}
	for _, l := range report.Loads {
		name, asked := fmt.Sprintf("%d in flight", l.InFlight), fmt.Sprintf("%.0f/s", l.Rate)
		if l.InFlight == 0 {
			name, asked = "as fast as it goes, 16 connections", "all"
		}
		if l.BesideFailed != "" {
			fmt.Fprintf(w, "%s\t%s\t%.0f/s\tfailed: %s\n", name, asked, l.PithRate, l.BesideFailed)
			continue
		}
		row(name, fmt.Sprintf("%s\t%.0f/s\t%.0f/s", asked, l.PithRate, l.BesideRate), l.Direct, l.Pith, l.Beside)
	}
	row("first event", "\t\t", report.Stream.DirectFirst, report.Stream.PithFirst, report.Stream.BesideFirst)
	row("each event", "\t\t", report.Stream.DirectEvent, report.Stream.PithEvent, report.Stream.BesideEvent)
}
