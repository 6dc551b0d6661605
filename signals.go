package main

import (
	"os"
	"os/signal"
)

// onSignal calls do at each signal, one at a time, until it returns false or stop is called. end is closed with stop, which waits
// for do to return.
func onSignal(awaited os.Signal, do func(end <-chan struct{}) (goOn bool)) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, awaited)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-signals:
			}
			if !do(end) {
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(end)
		<-ended
	}
}
