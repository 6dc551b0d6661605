package scorebench

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of the calling thread: other work on the machine does not count.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(ts.Nano())
}

// processTime is the processor time of all threads.
func processTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// residentMemory returns the bytes of memory that the process has now and had at most.
func residentMemory() (now, peak int64) {
	fields := colonFields("/proc/self/status")
	return kibibytes(fields["VmRSS"]), kibibytes(fields["VmHWM"])
}

func kibibytes(s string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64) // 0 where the kernel does not say
	return n << 10
}

// cpuModel returns the processor's name. Virtual machines often hide it: family and model numbers say more.
func cpuModel() string {
	f := colonFields("/proc/cpuinfo")
	if f["model name"] == "" {
		return strings.TrimSpace("implementer " + f["CPU implementer"] + " part " + f["CPU part"])
	}
	return f["model name"] + ", family " + f["cpu family"] + " model " + f["model"] + " stepping " + f["stepping"]
}

func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(content))
	if err != nil || len(fields) < 3 {
		return ""
	}
	return strings.Join(fields[:3], " ")
}

// colonFields reads a file of lines "key: value", the first of each key; it is empty if there is none.
func colonFields(path string) map[string]string {
	fields := map[string]string{}
	file, err := os.Open(path)
	if err != nil {
		return fields
	}
	defer file.Close() //nolint:errcheck // nothing was written
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), ":")
		key = strings.TrimSpace(key)
		if _, seen := fields[key]; ok && !seen {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}
