package proxy

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"

	"github.com/pith-llm/pith/compressors"
)

// outcome of a request, as a label.
type requestOutcome uint8

const (
	outcomeAnswered requestOutcome = iota // by the upstream, whatever its status, in full
	outcomeRefused                        // by pith: not let in, or not understood
	outcomeFailed                         // the upstream gave no answer
	outcomeBroken                         // the answer ended before its time
	outcomeGone                           // the client left first
)

// String returns the label.
func (o requestOutcome) String() string {
	return [...]string{"answered", "refused", "upstream_failed", "broken", "client_gone"}[o]
}

// metrics are the counters of one server, in a registry of their own.
type metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	turns     *prometheus.CounterVec
	failOpens *prometheus.CounterVec
	texts     *prometheus.CounterVec
	skips     *prometheus.CounterVec
	replays   prometheus.Counter
	events    prometheus.Counter
	tokensIn  prometheus.Counter
	tokensOut prometheus.Counter
	observed  prometheus.Counter
	kindIn    *prometheus.CounterVec
	kindOut   *prometheus.CounterVec
	kindSaved *prometheus.CounterVec
	received  prometheus.Counter
	sent      prometheus.Counter
	queued    prometheus.Gauge
	queue     prometheus.Histogram
	duration  *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	overhead  prometheus.Histogram
	wait      prometheus.Histogram
	stages    *prometheus.HistogramVec
}

// stageLabels are the stages of compression that are told apart: of the proxy, of compressors, of the scorers.
var stageLabels = [...]string{
	"parse", "queue", "splice", "count", "upstream",
	"segment", "score", "refine", "select", "render",
	"score/lexical", "score/encoder", "score/structure", "score/decoder", "score/bm25", "score/lm",
}

// stageLabel returns the label for a stage's name; all that are not known share one.
func stageLabel(name string) string {
	if slices.Contains(stageLabels[:], name) {
		return name
	}
	return "other"
}

// seconds are the bounds of all histograms: 100 us to 100 s, three a decade.
var seconds = []float64{1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100}

func newMetrics(s *Server) *metrics {
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name, Help: help} }
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}
	}
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		requests:  prometheus.NewCounterVec(counter("pith_requests_total", "Requests by the dialect of their body and by what became of them."), []string{"dialect", "outcome"}),
		turns:     prometheus.NewCounterVec(counter("pith_turns_total", "Turns with texts to shorten: compressed now, remembered, or failed open."), []string{"outcome"}),
		failOpens: prometheus.NewCounterVec(counter("pith_fail_opens_total", "Turns that were left as they are, each time that they came, by what had failed."), []string{"reason"}),
		texts:     prometheus.NewCounterVec(counter("pith_texts_total", "Texts that were looked at: shortened, left as their turn failed open, or the reason for which they stayed whole."), []string{"outcome"}),
		skips:     prometheus.NewCounterVec(counter("pith_skips_total", "Requests whose texts were not looked at, by reason."), []string{"reason"}),
		replays:   prometheus.NewCounter(counter("pith_replays_total", "Original requests sent after the upstream had refused the shortened one.")),
		events:    prometheus.NewCounter(counter("pith_websocket_events_total", "Events over WebSockets that ask for a response. The WebSocket itself is one request, of dialect none.")),
		tokensIn:  prometheus.NewCounter(counter("pith_tokens_in_total", "Tokens of the texts of requests as they came.")),
		tokensOut: prometheus.NewCounter(counter("pith_tokens_out_total", "Tokens of the texts of requests as they were forwarded.")),
		observed:  prometheus.NewCounter(counter("pith_observed_saved_tokens_total", "Tokens that requests under the mode observe would have saved.")),
		kindIn:    prometheus.NewCounterVec(counter("pith_text_tokens_in_total", "Tokens of the texts that were looked at, as they came, by what they were taken for."), []string{"kind"}),
		kindOut:   prometheus.NewCounterVec(counter("pith_text_tokens_out_total", "Tokens of the texts that were looked at, as they were forwarded."), []string{"kind"}),
		kindSaved: prometheus.NewCounterVec(counter("pith_text_tokens_saved_total", "The difference of the two."), []string{"kind"}),
		received:  prometheus.NewCounter(counter("pith_received_bytes_total", "Bytes of requests' bodies read from clients.")),
		queued:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "pith_queued_requests", Help: "Requests that wait for a place."}),
		queue:     prometheus.NewHistogram(histogram("pith_queue_wait_seconds", "Time that requests waited for a place, those that got none among them.")),
		sent:      prometheus.NewCounter(counter("pith_sent_bytes_total", "Bytes of answers' bodies sent to clients.")),
		duration:  prometheus.NewHistogramVec(histogram("pith_request_duration_seconds", "Time from a request's head to the end of its answer."), []string{"dialect"}),
		firstByte: prometheus.NewHistogramVec(histogram("pith_first_byte_seconds", "Time from a request's head to the first byte of its answer's body from the upstream."), []string{"dialect"}),
		overhead:  prometheus.NewHistogram(histogram("pith_overhead_seconds", "Time from the last byte of a request with texts to the first byte of the upstream's.")),
		wait:      prometheus.NewHistogram(histogram("pith_upstream_wait_seconds", "Time until the upstream began its answer, connecting included.")),
		stages:    prometheus.NewHistogramVec(histogram("pith_stage_duration_seconds", "Time in the stages of compression, less what was remembered."), []string{"stage"}),
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	m.registry.MustRegister(m.requests, m.turns, m.failOpens, m.texts, m.skips, m.replays, m.events, m.tokensIn, m.tokensOut, m.observed, m.kindIn, m.kindOut, m.kindSaved,
		m.received, m.sent, m.queued, m.queue, m.duration, m.firstByte, m.overhead, m.wait, m.stages,
		gauge("pith_in_flight_requests", "Requests under way.", func() int { return len(s.latest.Load().places) }),
		gauge("pith_in_flight_compressions", "Turns that are compressed at this moment.", func() int { return len(s.latest.Load().slots) }),
		cacheCollector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// outcomeOf says what became of a request.
func outcomeOf(status int, err error, gone bool) requestOutcome {
	switch _, failed := errors.AsType[*failure](err); {
	case err == nil:
	case gone:
		return outcomeGone
	case failed:
		return outcomeFailed
	case errors.Is(err, errRelay):
		return outcomeBroken
	case status >= fasthttp.StatusBadRequest:
		return outcomeRefused
	}
	return outcomeAnswered
}

// done counts a request that has ended.
func (m *metrics) done(r *request, outcome requestOutcome, size int) {
	m.requests.WithLabelValues(r.dialect.String(), outcome.String()).Inc()
	m.duration.WithLabelValues(r.dialect.String()).Observe(time.Since(r.started).Seconds())
	m.received.Add(float64(r.received))
	m.sent.Add(float64(size))
	if r.waited > 0 {
		m.wait.Observe(r.waited.Seconds())
	}
	if r.dialect != dialectNone && outcome != outcomeRefused {
		m.report(r.report)
	}
}

// event counts an event of a WebSocket that asks for a response.
func (m *metrics) event(report Report) {
	m.events.Inc()
	m.report(report)
}

// report counts what became of the texts of a request.
func (m *metrics) report(report Report) {
	m.overhead.Observe(report.Overhead.Seconds())
	if report.Skip != NotSkipped {
		m.skips.WithLabelValues(report.Skip.String()).Inc()
	}
	if report.Replayed {
		m.replays.Inc()
	}
	m.tokensIn.Add(float64(report.TokensIn))
	if report.Mode == ModeObserve {
		m.tokensOut.Add(float64(report.TokensIn))
		m.observed.Add(float64(report.TokensIn - report.TokensOut))
	} else {
		m.tokensOut.Add(float64(report.TokensOut))
	}
	for _, turn := range report.Turns {
		for i := range turn.Texts {
			m.texts.WithLabelValues(textOutcome(turn, i, report.Replayed)).Inc()
		}
		if turn.Err == nil {
			m.kinds(turn.Result, report.Mode == ModeOn && !report.Replayed)
		}
		switch {
		case turn.Err != nil:
			m.failOpens.WithLabelValues(failureOf(turn.Err)).Inc()
			m.turns.WithLabelValues("failed").Inc()
		case turn.Cached:
			m.turns.WithLabelValues("remembered").Inc()
		default:
			m.turns.WithLabelValues("compressed").Inc()
		}
	}
	for _, stage := range report.Stages {
		m.stages.WithLabelValues(stageLabel(stage.Name)).Observe(stage.Duration.Seconds())
	}
}

// kinds counts the tokens of a turn's texts by what they were taken for; sent says that what is shorter was sent so.
func (m *metrics) kinds(result compressors.Result, sent bool) {
	for _, text := range result.Texts {
		in, out := text.TokensIn, text.TokensIn
		if sent && replaces(text) {
			out = text.TokensOut
		}
		kind := text.Kind.String()
		m.kindIn.WithLabelValues(kind).Add(float64(in))
		m.kindOut.WithLabelValues(kind).Add(float64(out))
		m.kindSaved.WithLabelValues(kind).Add(float64(in - out))
	}
}

// textOutcome names what became of a turn's i-th text.
func textOutcome(turn TurnReport, i int, replayed bool) string {
	switch {
	case turn.Err != nil:
		return "failed"
	case replayed:
		return "refused"
	case replaces(turn.Result.Texts[i]):
		return "shortened"
	case turn.Result.Texts[i].Skip == compressors.NotSkipped:
		return compressors.SkipNoSaving.String() // rendered, and not shorter to the upstream
	}
	return turn.Result.Texts[i].Skip.String()
}

// Admin answers /livez, /readyz, /metrics and /receipts/{id}, for a listener of its own: nothing of it is meant for clients. ready says
// why the process is not ready yet, nil once it is.
func (s *Server) Admin(ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		err := s.base.Err()
		if err == nil {
			err = ready()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /receipts/{id}", s.serveReceipt)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page in a browser must not read this through a name that was made to resolve to this machine.
		if address, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }); ok && isLoopbackHost(address.String()) && !isLoopbackHost(r.Host) {
			http.Error(w, "the Host header does not name this machine", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
