// SPDX-License-Identifier: Apache-2.0

package host

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/maitred-lb/maitred/checkers/module"
)

// abi is MAITRED_MODULE_ABI of maitred_module.h, whose structs these are.
const abi = 1

const symbol = "maitred_module"

// The structs have the layout of C on all machines with pointers of 64 bits.
type (
	cModule struct {
		size, abi         uint32
		name              *byte
		check, init, fini uintptr
		parallel          uint32
		_                 uint32
	}
	cArg  struct{ name, value *byte }
	cCall struct {
		size, timeoutMS uint32
		address         *byte
		args            *cArg
		nargs           uint32
		port            uint16
		_               uint16
	}
	cResult struct {
		size    uint32
		weight  int32
		hint    int32
		message [244]byte
	}
)

// object is a module that is open.
type object struct {
	name     string
	parallel int
	check    uintptr
	fini     uintptr
	// exchanges are those that no call has.
	exchanges sync.Pool
}

// open opens a shared object and calls its init.
func open(file string) (*object, error) {
	handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("open the module: %w", err)
	}
	at, err := purego.Dlsym(handle, symbol)
	if err != nil {
		return nil, fmt.Errorf("%s has no MAITRED_MODULE: %w", file, err)
	}
	m := (*cModule)(pointer(at))
	if m.abi != abi {
		return nil, fmt.Errorf("%s was made for the ABI %d of modules, and this is %d: compile it with the header of this version", file, m.abi, abi)
	}
	if least := uint32(unsafe.Sizeof(cModule{})); m.size < least {
		return nil, fmt.Errorf("%s has a struct maitred_module of %d bytes: %d are the least", file, m.size, least)
	}
	if m.check == 0 {
		return nil, fmt.Errorf("%s has no function check", file)
	}
	if m.init != 0 {
		if code, _, _ := purego.SyscallN(m.init); int32(code) != 0 {
			return nil, fmt.Errorf("init of %s failed with %d", file, int32(code))
		}
	}
	o := &object{name: text(m.name, module.MaxFrame), parallel: module.DefaultParallel, check: m.check, fini: m.fini}
	o.exchanges.New = func() any { return new(exchange) }
	if m.parallel != 0 {
		o.parallel = int(min(m.parallel, module.MaxParallel))
	}
	return o, nil
}

// close calls the module's fini. The object stays open: threads may be in it.
func (o *object) close() {
	if o.fini != 0 {
		purego.SyscallN(o.fini)
	}
}

// exchange is what a call and C have in common. It comes from a pool and so is not
// on a goroutine's stack, which the runtime may move.
type exchange struct {
	in      cCall
	out     cResult
	address []byte
}

// run calls check. The thread is this call's as long as it lasts: the runtime
// gives other goroutines to others.
func (o *object) run(call module.Call, args *arguments) module.Reply {
	x := o.exchanges.Get().(*exchange)
	defer o.exchanges.Put(x)
	x.address = append(append(x.address[:0], call.Address...), 0)
	x.in = cCall{
		size: uint32(unsafe.Sizeof(x.in)), timeoutMS: uint32(call.DeadlineMS), address: &x.address[0],
		args: args.first(), nargs: uint32(len(args.list)), port: call.Port,
	}
	x.out = cResult{size: uint32(unsafe.Sizeof(x.out))}
	code, _, _ := purego.SyscallN(o.check, uintptr(unsafe.Pointer(&x.in)), uintptr(unsafe.Pointer(&x.out)))
	runtime.KeepAlive(args)
	return module.Reply{
		ID: call.ID, State: state(int32(code)), Weight: int(x.out.weight), Hint: hint(x.out.hint),
		Message: text(&x.out.message[0], module.MaxMessage),
	}
}

// state is the name of an enum maitred_state. What is none of them stays a
// number, which the daemon refuses.
func state(code int32) module.State {
	names := []module.State{module.StateUnknown, module.StatePass, module.StateDegraded, module.StateFail}
	if code < 0 || int(code) >= len(names) {
		return module.State(fmt.Sprint(code))
	}
	return names[code]
}

// hint is the name of an enum maitred_hint.
func hint(code int32) string {
	names := []string{"", "drain", "maint"}
	if code < 0 || int(code) >= len(names) {
		return fmt.Sprint(code)
	}
	return names[code]
}

// arguments are the settings of a check as C sees them.
type arguments struct {
	list []cArg
}

func newArguments(raw json.RawMessage) (*arguments, error) {
	values := map[string]string{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &values); err != nil {
			return nil, fmt.Errorf("read the settings: %w", err)
		}
	}
	a := &arguments{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		a.list = append(a.list, cArg{&cString(name)[0], &cString(values[name])[0]})
	}
	return a, nil
}

func (a *arguments) first() *cArg {
	if len(a.list) == 0 {
		return nil
	}
	return &a.list[0]
}

// cString is a text that ends with a zero byte.
func cString(s string) []byte { return append([]byte(s), 0) }

// text reads what C wrote, up to a zero byte or most bytes.
func text(at *byte, most int) string {
	if at == nil {
		return ""
	}
	n := 0
	for n < most && *(*byte)(unsafe.Add(unsafe.Pointer(at), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(at, n))
}

// pointer makes a pointer of an address that C owns.
func pointer(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }
