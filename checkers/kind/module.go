// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/module"
)

// hosted is a check that a module makes, in a process of its own.
type hosted struct {
	spec  module.Spec
	args  json.RawMessage
	hosts *module.Hosts // nil: this check was made to be looked at
}

// The bounds of what a module may have, in MiB.
const (
	usualMemory = 1024
	leastMemory = 256 // a host with a few threads needs that
	mostMemory  = 64 << 10
)

func moduleOptions() []Option {
	return append([]Option{
		{Name: "module_file", Form: FormFile, Doc: "The shared object, see docs/modules.md. Put a new one in its place with mv: to write into it crashes it."},
	}, hostedOptions()...)
}

func coprocessOptions() []Option {
	return append([]Option{
		{Name: "program_file", Form: FormFile, Doc: "The program that speaks frames at its standard input and output, see docs/modules.md."},
		{Name: "arguments", Form: FormList, Doc: "Arguments of the program."},
	}, hostedOptions()...)
}

// hostedOptions are those of everything that has a host.
func hostedOptions() []Option {
	return []Option{
		{Name: "args", Form: FormList, Doc: "What to tell the module with each call, as texts such as table=users."},
		{Name: "user", Form: FormText, Doc: "Who it runs as; without it maitred-check, or nobody where there is no such user."},
		{
			Name: "memory_mib", Form: FormNumber, Default: strconv.Itoa(usualMemory),
			Doc: "The most memory that it may have, in MiB, 256 to 65536. One that wants more fails, and crashes or not.",
		},
	}
}

func newModule(env Env, o *options) checkers.Checker {
	file := o.need("module_file")
	return newHosted(env, o, file, "module_file", func(user *module.User, memory uint64) (module.Spec, error) {
		return module.SharedObject(file, user, memory)
	})
}

func newCoprocess(env Env, o *options) checkers.Checker {
	file := o.need("program_file")
	command := append([]string{file}, o.texts("arguments")...)
	return newHosted(env, o, file, "program_file", func(user *module.User, memory uint64) (module.Spec, error) {
		return module.Coprocess(command, user, memory)
	})
}

// newHosted reads the common options, and finds the module's file.
func newHosted(env Env, o *options, file, key string, spec func(*module.User, uint64) (module.Spec, error)) checkers.Checker {
	h := &hosted{args: settings(o, "args"), hosts: env.Modules}
	user := runAs(o)
	memory := o.number("memory_mib", usualMemory, leastMemory, mostMemory)
	if file == "" {
		return h
	}
	s, err := spec(user, uint64(memory)<<20)
	if err != nil {
		o.reject([]string{key}, "%v", err)
		return h
	}
	h.spec = s
	if h.hosts != nil {
		h.hosts.Release(s)
	}
	return h
}

// runAs reads who a program runs as.
func runAs(o *options) *module.User {
	name := o.text("user", "")
	user, err := module.FindUser(name)
	if err != nil {
		o.reject([]string{"user"}, "%v: make one with useradd --system", err)
	}
	return user
}

// settings reads a list of name=value.
func settings(o *options, key string) json.RawMessage {
	texts := o.texts(key)
	for i := range texts { // each by itself, to name the one that is wrong
		if _, err := Settings(texts[:i+1]); err != nil {
			o.reject([]string{key, strconv.Itoa(i)}, "%v", err)
			return nil
		}
	}
	args, err := Settings(texts)
	if err != nil {
		return nil // was told
	}
	return args
}

// Settings makes of texts such as name=value what a module is told; of none it
// makes nil.
func Settings(texts []string) (json.RawMessage, error) {
	values := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if _, twice := values[name]; !ok || name == "" || twice || strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("%q is not right: write each name once, as name=value", text)
		}
		values[name] = value
	}
	if len(values) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	if len(text) > module.MaxFrame/2 {
		return nil, fmt.Errorf("all settings together are longer than the %d bytes that a module is told", module.MaxFrame/2)
	}
	return text, nil
}

// Check implements checkers.Checker.
func (h *hosted) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, h.spec.Name+" "+whereto(target))
	if h.hosts == nil {
		return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "not run: modules run in the daemon alone")
	}
	reply, err := h.hosts.Host(h.spec).Call(ctx, target, h.args)
	var missing *module.Unavailable
	switch {
	case errors.As(err, &missing):
		return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "%s", missing.Reason)
	case err != nil:
		return a.broken(ctx, err, checkers.ClassUnreachable, "the module has not answered")
	}
	a.step("the module answered: %s", reply.State)
	result := reply.Result()
	return a.told(result)
}

// told is the result of a run of somebody else, with our time and beginning.
func (a attempt) told(result checkers.Result) checkers.Result {
	message := result.Message
	if message == "" {
		message = "no word"
	}
	whole := a.end(result.Outcome, result.Class, "%s", message)
	whole.Percent, whole.Hint = result.Percent, result.Hint
	return whole
}
