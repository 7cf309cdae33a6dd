// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// Archive is the tree of an initial RAM file system. Directories above an
// entry come by themselves. All files belong to root.
type Archive struct {
	entries map[string]entry
}

type entry struct {
	mode fs.FileMode
	data []byte // of a file; the target of a symbolic link
}

// New returns an empty archive.
func New() *Archive { return &Archive{entries: make(map[string]entry)} }

// Dir adds a directory.
func (a *Archive) Dir(name string) { a.put(name, entry{mode: fs.ModeDir | 0o755}) }

// File adds a file that holds data.
func (a *Archive) File(name string, perm fs.FileMode, data []byte) {
	a.put(name, entry{mode: perm.Perm(), data: data})
}

// Symlink adds a symbolic link.
func (a *Archive) Symlink(name, target string) {
	a.put(name, entry{mode: fs.ModeSymlink | 0o777, data: []byte(target)})
}

// Has says whether there is an entry of that name.
func (a *Archive) Has(name string) bool {
	_, ok := a.entries[clean(name)]
	return ok
}

func (a *Archive) put(name string, e entry) {
	name = clean(name)
	if dir := path.Dir(name); dir != "." && !a.Has(dir) {
		a.Dir(dir)
	}
	a.entries[name] = e
}

// clean makes names relative to the root, without a leading slash.
func clean(name string) string { return path.Clean("/" + name)[1:] }

// WriteTo writes the archive in the format that the kernel documents in
// driver-api/early-userspace/buffer-format.rst: cpio, "newc".
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: bufio.NewWriterSize(w, 1<<20)}
	// Sorted, a directory comes before what is in it.
	for i, name := range slices.Sorted(maps.Keys(a.entries)) {
		c.entry(i+1, name, a.entries[name])
	}
	c.entry(0, "TRAILER!!!", entry{})
	if c.err == nil {
		c.err = c.w.Flush()
	}
	if c.err != nil {
		return c.n, fmt.Errorf("write initramfs: %w", c.err)
	}
	return c.n, nil
}

// counter writes until the first error.
type counter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *counter) entry(inode int, name string, e entry) {
	links := 1
	if e.mode.IsDir() {
		links = 2
	}
	// Fields: inode, mode, uid, gid, links, mtime, size, device and rdev major
	// and minor, name size, checksum.
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		inode, unixMode(e.mode), 0, 0, links, 0, len(e.data), 0, 0, 0, 0, len(name)+1, 0))
	c.write(append([]byte(name), 0))
	c.align()
	c.write(e.data)
	c.align()
}

func (c *counter) write(b []byte) {
	if c.err != nil {
		return
	}
	n, err := c.w.Write(b)
	c.n, c.err = c.n+int64(n), err
}

func (c *counter) align() { c.write(make([]byte, (4-c.n%4)%4)) }

func unixMode(m fs.FileMode) uint32 {
	const dir, regular, symlink = 0o040000, 0o100000, 0o120000
	bits := uint32(m.Perm())
	switch {
	case m.IsDir():
		return bits | dir
	case m&fs.ModeSymlink != 0:
		return bits | symlink
	default:
		return bits | regular
	}
}
