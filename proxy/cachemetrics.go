package proxy

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pith-llm/pith/cache"
)

// cacheCollector reads the statistics of the scorer's caches when metrics are asked for.
type cacheCollector struct{ server *Server }

// cacheMetric is one number of the statistics.
type cacheMetric struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	of          func(cache.Stats) int64
}

func newCacheMetric(name, help string, kind prometheus.ValueType, of func(cache.Stats) int64) cacheMetric {
	return cacheMetric{prometheus.NewDesc(name, help, []string{"cache"}, nil), kind, of}
}

var cacheMetrics = [...]cacheMetric{
	newCacheMetric("pith_cache_hits_total", "What models said of a text that was found again, by cache.", prometheus.CounterValue,
		func(s cache.Stats) int64 { return s.Hits + s.Shared }),
	newCacheMetric("pith_cache_misses_total", "What models had to say anew.", prometheus.CounterValue,
		func(s cache.Stats) int64 { return s.Misses }),
	newCacheMetric("pith_cache_evictions_total", "What was dropped to make room.", prometheus.CounterValue,
		func(s cache.Stats) int64 { return s.Evictions }),
	newCacheMetric("pith_cache_bytes", "What is held.", prometheus.GaugeValue, func(s cache.Stats) int64 { return s.Bytes }),
}

// Describe says what Collect returns.
func (cacheCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range cacheMetrics {
		out <- m.description
	}
}

// Collect returns the numbers of each cache.
func (c cacheCollector) Collect(out chan<- prometheus.Metric) {
	caches := c.server.latest.Load().options.Caches
	if caches == nil {
		return
	}
	for name, stats := range caches() {
		for _, m := range cacheMetrics {
			out <- prometheus.MustNewConstMetric(m.description, m.kind, float64(m.of(stats)), name)
		}
	}
}
