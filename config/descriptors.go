package config

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// Descriptors are the open files with which a process was started, by name, as systemd's socket activation passes them on.
type Descriptors map[string]uintptr

// The names of descriptors. A listener under any other name is that of the setting listen.
const (
	ListenDescriptor = "listen"
	AdminDescriptor  = "admin"
	// ReadyDescriptor is a pipe that is written to once the process can serve.
	ReadyDescriptor = "ready"
)

// firstDescriptor is the number of the first one, behind the standard streams.
const firstDescriptor = 3

// The variables: how many there are, their names with colons between, and for which process, any if it is not set.
const (
	descriptorCount = "LISTEN_FDS"
	descriptorNames = "LISTEN_FDNAMES"
	descriptorOwner = "LISTEN_PID"
)

// LoadDescriptors reads from environ what this process was started with.
func LoadDescriptors(environ []string) Descriptors {
	variables := LoadSecrets(environ).variables
	if owner := variables[descriptorOwner]; owner != "" && owner != strconv.Itoa(os.Getpid()) {
		return nil // meant for a parent
	}
	count, err := strconv.Atoi(variables[descriptorCount])
	if err != nil {
		return nil
	}
	names := strings.Split(variables[descriptorNames], ":")
	given := Descriptors{}
	for i := range count {
		name := ListenDescriptor
		if i < len(names) && (names[i] == AdminDescriptor || names[i] == ReadyDescriptor) {
			name = names[i]
		}
		given[name] = uintptr(firstDescriptor + i)
	}
	return given
}

// WithDescriptors returns the environment of a process that is started with descriptors of these names, in order.
func WithDescriptors(environ, names []string) []string {
	environ = slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == descriptorCount || name == descriptorNames || name == descriptorOwner
	})
	return append(environ, descriptorCount+"="+strconv.Itoa(len(names)), descriptorNames+"="+strings.Join(names, ":"))
}
