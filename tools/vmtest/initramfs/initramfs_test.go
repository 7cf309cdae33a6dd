// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWriteTo pins the bytes down field by field.
func TestWriteTo(t *testing.T) {
	a := New()
	a.File("/d/f", 0o640, []byte("hello"))
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d: %v", n, b.Len(), err)
	}
	const zero = "00000000"
	want := "070701" + "00000001" + "000041ed" + zero + zero + "00000002" + zero + zero + zero + zero + zero + zero + "00000002" + zero +
		"d\x00" +
		"070701" + "00000002" + "000081a0" + zero + zero + "00000001" + zero + "00000005" + zero + zero + zero + zero + "00000004" + zero +
		"d/f\x00\x00\x00" + "hello\x00\x00\x00" +
		"070701" + zero + "00008000" + zero + zero + "00000001" + zero + zero + zero + zero + zero + zero + "0000000b" + zero +
		"TRAILER!!!\x00\x00\x00\x00"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBusyboxReadsTheArchive(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		lacking(t, err)
	}
	a := New()
	a.File("/etc/name", 0o600, []byte("maitred\n"))
	a.Symlink("/name", "etc/name")
	a.Dir("/proc")
	var b bytes.Buffer
	if _, err := a.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), busybox, "cpio", "-id")
	cmd.Dir, cmd.Stdin = t.TempDir(), &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(cmd.Dir, "name")) // by the link
	if err != nil || string(got) != "maitred\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(cmd.Dir, "proc")); err != nil || !info.IsDir() {
		t.Errorf("proc: %v, %v", info, err)
	}
}

// full is a disk with no room left.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriteToReportsTheWriter(t *testing.T) {
	a := New()
	a.File("f", 0o644, make([]byte, 2<<20))
	if _, err := a.WriteTo(full{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

func TestCopyBringsLibraries(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	a := New()
	if err := a.Copy(shell, "/bin/sh"); err != nil {
		t.Fatal(err)
	}
	var libc, loader bool
	for name := range a.entries {
		libc = libc || strings.HasPrefix(filepath.Base(name), "libc.")
		loader = loader || strings.HasPrefix(filepath.Base(name), "ld-linux") || strings.HasPrefix(filepath.Base(name), "ld-musl")
	}
	if !libc || !loader {
		t.Errorf("libc %v, loader %v", libc, loader)
	}
}

func TestCopyTree(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"a/b": "1", "a/c": "2"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	a := New()
	if err := a.Copy(dir, "/src"); err != nil {
		t.Fatal(err)
	}
	if !a.Has("/src/a/b") || !a.Has("/src/a/c") || a.Has("/src/dangling") {
		t.Errorf("got %v", a.entries)
	}
	if err := a.Copy(filepath.Join(dir, "dangling"), "/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoaderDirs(t *testing.T) {
	dir := t.TempDir()
	main, more := filepath.Join(dir, "ld.so.conf"), filepath.Join(dir, "more.conf")
	if err := errors.Join(
		os.WriteFile(main, []byte("# comment\n/one\ninclude "+dir+"/more*.conf\n"), 0o644),
		os.WriteFile(more, []byte("/two # why\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	got, err := loaderDirs(main)
	if diff := cmp.Diff([]string{"/one", "/two"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "modules.builtin"), []byte("kernel/net/ipv6/ipv6.ko\n"))
	for name, depends := range map[string]string{
		"top": "middle-a,middle_b,ipv6", "middle-a": "base", "middle_b": "base,middle-a", "base": "", "broken": "absent",
	} {
		write(t, filepath.Join(dir, "kernel", "net", name+".ko"), module("license=GPL\x00depends="+depends+"\x00"))
	}
	m, err := OpenModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := m.Resolve("top", "base")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	if diff := cmp.Diff([]string{"base.ko", "middle-a.ko", "middle_b.ko", "top.ko"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range []string{"broken", "unknown"} {
		if _, err := m.Resolve(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	middle, err := m.Glob("middle_*")
	slices.Sort(middle)
	if diff := cmp.Diff([]string{"middle_a", "middle_b"}, middle); diff != "" || err != nil {
		t.Errorf("Glob: %v (-want +got):\n%s", err, diff)
	}
}

// module is the smallest ELF file with a .modinfo section.
func module(modinfo string) []byte {
	const header, section = 64, 64
	names := "\x00.modinfo\x00.shstrtab\x00"
	offset := uint64(header)
	b := make([]byte, header)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 1)  // relocatable
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[40:], offset+uint64(len(modinfo)+len(names)))
	le.PutUint16(b[52:], header)
	le.PutUint16(b[58:], section)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	b = append(b, modinfo+names...)
	add := func(name, kind uint32, offset, size uint64) {
		s := make([]byte, section)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], offset)
		le.PutUint64(s[32:], size)
		b = append(b, s...)
	}
	add(0, 0, 0, 0)
	add(1, 1, offset, uint64(len(modinfo)))
	add(10, 3, offset+uint64(len(modinfo)), uint64(len(names)))
	return b
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// lacking skips a test for want of a tool; under CI=true it fails it.
func lacking(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}
