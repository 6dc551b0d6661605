package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pith-llm/pith/config"
)

// listenOn returns the listener that the process was started with under a name, or else a new one. A listener that is handed on
// keeps its queue: of two that share a port (SO_REUSEPORT) the one that is closed resets the connections that wait in it.
func listenOn(given config.Descriptors, name, address string) (net.Listener, error) {
	fd, ok := given[name]
	if !ok {
		return net.Listen("tcp", address)
	}
	file := os.NewFile(fd, name)
	defer func() { _ = file.Close() }() // the listener has its own
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	if _, ok := listener.(*net.TCPListener); !ok {
		_ = listener.Close()
		return nil, fmt.Errorf("descriptor %d is no TCP listener", fd)
	}
	return listener, nil
}

// announceReady tells the process that is to be replaced, if there is one, that this one can serve, once its models are loaded.
func announceReady(ctx context.Context, given config.Descriptors, primed *priming) error {
	fd, ok := given[config.ReadyDescriptor]
	if !ok {
		return nil
	}
	pipe := os.NewFile(fd, config.ReadyDescriptor)
	defer func() { _ = pipe.Close() }()
	select {
	case <-primed.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if primed.failed != nil {
		return primed.failed
	}
	_, err := pipe.WriteString("\n")
	return err
}

// replaceable is a process that another can take the listeners over from.
type replaceable struct {
	listeners map[string]net.Listener // by the names of descriptors
	from      invocation
	std       streams
	logger    *slog.Logger
	// retire stops accepting; it returns once nothing is lost by going on to the end.
	retire func()
}

// replaceOnSignal starts the command's file anew at SIGUSR2, with the same arguments and this process's listeners. Once the new
// process is ready this one retires, and the returned channel is closed; if it ends before, this one goes on. stop ends the
// waiting for signals, and a new process that is not ready.
func replaceOnSignal(r replaceable) (replaced <-chan struct{}, stop func()) {
	retired := make(chan struct{})
	return retired, onSignal(syscall.SIGUSR2, func(end <-chan struct{}) bool {
		r.logger.Info("upgrading: a new process is being started")
		pid, err := r.startSuccessor(end)
		if err != nil {
			r.logger.Error("not upgraded: this process goes on", "error", err)
			return true
		}
		r.logger.Info("upgraded: this process ends with its last answer", "successor", pid)
		r.retire()
		close(retired)
		return false
	})
}

// startSuccessor returns once a new process is ready. One that is not yet is ended with end.
func (r replaceable) startSuccessor(end <-chan struct{}) (pid int, err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = reader.Close() }()
	var names []string
	var files []*os.File
	for name, listener := range r.listeners {
		file, err := descriptorOf(listener)
		if err != nil {
			_ = writer.Close()
			return 0, err
		}
		defer func() { _ = file.Close() }()
		names, files = append(names, name), append(files, file)
	}
	successor := exec.Command(os.Args[0], r.from.args...) // not os.Executable, which is the file that a link led to before
	successor.Stdout, successor.Stderr = r.std.stdout, r.std.stderr
	successor.ExtraFiles = append(files, writer)
	successor.Env = config.WithDescriptors(r.from.environ, append(names, config.ReadyDescriptor))
	err = successor.Start()
	_ = writer.Close() // so that only the new process holds it
	if err != nil {
		return 0, err
	}
	ready := make(chan error, 1)
	go func() {
		_, err := reader.Read(make([]byte, 1)) // fails when the new process ends
		ready <- err
	}()
	select {
	case err := <-ready:
		if err == nil {
			return successor.Process.Pid, nil
		}
	case <-end:
		_ = successor.Process.Signal(syscall.SIGTERM) // it has ended if this fails
	}
	_ = successor.Wait() // what it says is said below
	return 0, fmt.Errorf("the new process ended before it was ready: %v", successor.ProcessState)
}

// descriptorOf returns a file of its own for a listener. TCPListener.File would have both block.
func descriptorOf(listener net.Listener) (*os.File, error) {
	raw, err := listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	controlErr := raw.Control(func(fd uintptr) {
		var own int
		if own, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file = os.NewFile(uintptr(own), "listener")
		}
	})
	return file, errors.Join(controlErr, err)
}
