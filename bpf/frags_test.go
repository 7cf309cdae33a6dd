// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// frags is the program for large frames, in XDP's place.
func (r *rig) frags() program {
	p := r.programs()[0]
	p.prog = r.MaitredXdpFrags
	return p
}

// TestFragsWhole: a frame in one buffer is treated like by the other program.
func TestFragsWhole(t *testing.T) {
	r := newRig(t)
	plain, frags := r.programs()[0], r.frags()
	for i, frame := range seedFrames() {
		before := r.counts(t)
		ret, out, err := plain.run(frame)
		if err != nil {
			t.Fatal(err)
		}
		between := r.counts(t)
		got, gotOut, err := frags.run(frame)
		if err != nil {
			t.Fatal(err)
		}
		if got != ret || !bytes.Equal(gotOut, out) {
			t.Fatalf("frame %d: returned %d, not %d, and made\n%x, not\n%x", i, got, ret, gotOut, out)
		}
		if got, want := r.since(between, r.counts(t)), r.since(before, between); got != want {
			t.Fatalf("frame %d: counted %q, not %q", i, got, want)
		}
	}
}

// TestFragsLarge: a frame that is too large for a buffer is left to tc, whatever it is.
func TestFragsLarge(t *testing.T) {
	const payload = 6000
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		for name, frame := range map[string][]byte{
			"tcp": e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: bytesOf(payload)}).Bytes(),
			"udp": packet.UDP{Src: e.client, Dst: e.vip, Payload: bytesOf(payload)}.Bytes(),
			"raw": packet.Raw{Src: e.client.Addr(), Dst: e.vip.Addr(), Proto: 99, Payload: bytesOf(payload)}.Bytes(),
		} {
			t.Run(name, func(t *testing.T) {
				before := r.counts(t)
				opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, 2*payload)}
				ret, err := r.MaitredXdpFrags.Run(&opts)
				if err != nil {
					t.Fatal(err)
				}
				if ret != r.frags().pass || !bytes.Equal(opts.DataOut, frame) {
					t.Errorf("returned %d and made %d bytes of %d", ret, len(opts.DataOut), len(frame))
				}
				want := counted(0, r.names[DirectorVerdictPASS_DEFERRED], 1, uint64(len(frame)))
				if got := r.since(before, r.counts(t)); got != want {
					t.Errorf("counted %s, want %s", got, want)
				}
			})
		}
	})
}

const jumbo = 9000 // bytes, the MTU

// jumboLink is a director and a client whose link takes large frames, as XDP natively
// sends and takes them.
func jumboLink(t *testing.T) (director, client *netlab.Namespace) {
	t.Helper()
	director, client = netlab.Make(t, "director"), netlab.Make(t, "client")
	err := netlab.Veth(
		netlab.End{In: director, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.254/24")}},
		netlab.End{In: client, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}, jumbo)
	if err != nil {
		t.Fatal(err)
	}
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	dev, err := client.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	err = client.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: dev.Attrs().Index, Flags: link.XDPDriverMode})
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return director, client
}

// TestJumbo: XDP works natively where frames are larger than a buffer, and gives
// its place to the program without that price where they no longer are.
func TestJumbo(t *testing.T) {
	kernel.RequireBPF(t)
	director, client := jumboLink(t)
	e, err := Load(fmt.Sprintf("/sys/fs/bpf/maitred-jumbo-%d", os.Getpid()), Sizes{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(director.Do(e.Withdraw), e.Close()); err != nil {
			t.Error(err)
		}
	})
	vip := netip.MustParseAddrPort("192.0.2.254:80")
	page := testPage(pageLength, headLength)
	inner, err := e.NewPage(page.row())
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	put(t, e.Pages, uint32(1), inner)
	put(t, e.Settings, uint32(0), DirectorSetting{Keys: [2]DirectorCookieKey{key0, key1}})
	put(t, e.Services, serviceKey(vip), DirectorService{Id: id4, Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0}})

	e.attaches(t, director, e.MaitredXdpFrags)
	upload(t, client, vip, page.bytes)
	if err := director.Do(func() error { return e.detachTC("eth0", e.ingress()) }); err != nil {
		t.Fatal(err)
	}
	// The handshake, which XDP has to answer now.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, "tcp", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()

	dev, err := director.Netlink().LinkByName("eth0")
	if err == nil {
		err = director.Netlink().LinkSetMTU(dev, 1500)
	}
	if end, lerr := client.Netlink().LinkByName("eth0"); err == nil {
		err = errors.Join(lerr, client.Netlink().LinkSetMTU(end, 1500))
	}
	if err != nil {
		t.Fatal(err)
	}
	e.attaches(t, director, e.MaitredXdp)
	upload(t, client, vip, page.bytes)
}

// attaches demands that XDP runs, and by this program.
func (e *Engine) attaches(t *testing.T, director *netlab.Namespace, want *ebpf.Program) {
	t.Helper()
	err := director.Do(func() error {
		a, err := e.Attach("eth0", AttachXDP)
		if err != nil {
			return err
		}
		all, err := e.Attached()
		if err == nil && (len(all) != 1 || !all[0].XDP || !all[0].TC) {
			err = fmt.Errorf("attached: %+v", all)
		}
		if err == nil && !e.running("eth0", kindXDP, want, a.Index) {
			err = errors.New("another program runs")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// upload sends a large request, and demands the page.
func upload(t *testing.T, client *netlab.Namespace, vip netip.AddrPort, page []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, "tcp", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(append([]byte("POST / HTTP/1.1\r\nHost: example.net\r\n\r\n"), bytesOf(300000)...))
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, page) {
		t.Fatalf("%d bytes of %d, and %v", len(got), len(page), err)
	}
}
