package scorebench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// LlamaInstall is the command that installs llama-cpp-python built for the machine it runs on: the wheels that are built
// elsewhere lack its best instructions.
const LlamaInstall = "CMAKE_ARGS=-DGGML_NATIVE=ON python3 -m pip install --no-binary llama-cpp-python llama-cpp-python numpy"

//go:embed llama_cpp.py
var driverScript string

// driver is a Python process that runs llama.cpp: one JSON request a line in, one JSON reply a line out.
type driver struct {
	process *exec.Cmd
	in      io.WriteCloser
	send    *json.Encoder
	receive *json.Decoder
	stderr  *tail
}

// driverRequest is every request; which fields matter depends on Op.
type driverRequest struct {
	Op       string         `json:"op"`
	Name     string         `json:"name,omitempty"`
	Source   string         `json:"source,omitempty"`
	Target   string         `json:"target,omitempty"`
	Type     string         `json:"type,omitempty"`
	Job      *driverJob     `json:"job,omitempty"`
	Settings *LlamaSettings `json:"settings,omitempty"`
}

// driverJob is a task in tokens.
type driverJob struct {
	Model     string    `json:"model"`
	Embed     bool      `json:"embed,omitempty"`
	Sequences [][]int32 `json:"sequences"`
	Cached    [][]int32 `json:"cached,omitempty"`
	From      int       `json:"from"`
}

// LlamaSettings are what llama.cpp is run with.
type LlamaSettings struct {
	Threads int  `json:"threads"`
	Flash   bool `json:"flash"`   // flash attention
	UBatch  int  `json:"ubatch"`  // n_ubatch, rows that go through the network together
	Unified bool `json:"unified"` // kv_unified: one KV cache for the sequences of a context, else one each
	Group   int  `json:"group"`   // sequences a llama_decode
}

func (s LlamaSettings) String() string {
	kv, flash := "KV per stream", "no flash attention"
	if s.Unified {
		kv = "KV unified"
	}
	if s.Flash {
		flash = "flash attention"
	}
	return fmt.Sprintf("%s, %s, n_ubatch %d, %d sequences a call", kv, flash, s.UBatch, s.Group)
}

type driverReply struct {
	Error string          `json:"error"`
	OK    json.RawMessage `json:"ok"`
}

// driverOutcome is what one run of llama.cpp took and returned.
type driverOutcome struct {
	DecodeSeconds float64   `json:"decode_seconds"`
	CPUSeconds    float64   `json:"cpu_seconds"`
	Seconds       float64   `json:"seconds"` // with the log-probabilities
	LogProb       float64   `json:"log_prob"`
	Vector        []float64 `json:"vector"`
}

// startDriver starts the driver; it ends with ctx or close. The first request tells whether it works.
func startDriver(ctx context.Context, python string) (*driver, error) {
	d := &driver{stderr: &tail{}}
	// -u: no buffers of Python's own; the script is an argument, so that it needs no file.
	d.process = exec.CommandContext(ctx, python, "-u", "-c", driverScript)
	d.process.Stderr = d.stderr
	d.process.WaitDelay = time.Second
	in, err := d.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, fmt.Errorf("python: %w", err)
	}
	d.in, d.send, d.receive = in, json.NewEncoder(in), json.NewDecoder(out)
	return d, nil
}

// close ends the process.
func (d *driver) close() {
	_ = d.in.Close() // the script ends with its input
	_ = d.process.Wait()
}

// ask sends a request and decodes its reply into result, unless that is nil.
func (d *driver) ask(request driverRequest, result any) error {
	sendErr := d.send.Encode(request) // a driver that could not start has said why all the same
	var reply driverReply
	if err := d.receive.Decode(&reply); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("llama.cpp's driver ended: %w", errors.Join(sendErr, errors.New(d.ending())))
		}
		return fmt.Errorf("llama.cpp's driver: %w", err)
	}
	if reply.Error != "" {
		return fmt.Errorf("llama.cpp's driver: %s", reply.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply.OK, result)
}

// ending waits for a process that has closed its output and says how it ended.
func (d *driver) ending() string {
	err := d.process.Wait()
	text := "it said nothing"
	if err != nil {
		text = err.Error()
	}
	if said := strings.TrimSpace(d.stderr.String()); said != "" {
		text += ": " + said
	}
	return text
}

// tail keeps the end of what is written.
type tail struct{ bytes.Buffer }

const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if extra := t.Len() - tailBytes; extra > 0 {
		t.Next(extra)
	}
	return n, err
}
