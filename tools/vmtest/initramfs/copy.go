// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Copy adds a file or a directory tree of this machine, and the shared
// libraries of each program in it. Symbolic links are followed.
func (a *Archive) Copy(host, guest string) error {
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("copy into initramfs: %w", err)
	}
	if !info.IsDir() {
		return a.copyFile(host, guest, info.Mode())
	}
	a.Dir(guest)
	entries, err := os.ReadDir(host)
	if err != nil {
		return fmt.Errorf("copy into initramfs: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "__pycache__" {
			continue
		}
		err := a.Copy(filepath.Join(host, e.Name()), filepath.Join(guest, e.Name()))
		if e.Type()&fs.ModeSymlink != 0 && errors.Is(err, fs.ErrNotExist) {
			continue // dangling
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) copyFile(host, guest string, mode fs.FileMode) error {
	if !mode.IsRegular() {
		return nil
	}
	data, err := os.ReadFile(host)
	if err != nil {
		return fmt.Errorf("copy into initramfs: %w", err)
	}
	a.File(guest, mode, data)
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil
	}
	if err := a.addLibraries(host, data); err != nil {
		return fmt.Errorf("copy libraries of %s: %w", host, err)
	}
	return nil
}

// addLibraries adds the loader (PT_INTERP) and libraries (DT_NEEDED) of a
// program at the paths where they are here.
func (a *Archive) addLibraries(host string, data []byte) error {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return fmt.Errorf("read loader name: %w", err)
		}
		if err := a.addLibrary(strings.TrimRight(string(name), "\x00")); err != nil {
			return err
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil || len(needed) == 0 {
		return err
	}
	dirs, err := searchPath(host, f)
	if err != nil {
		return err
	}
	for _, name := range needed {
		path, err := find(name, dirs)
		if err != nil {
			return err
		}
		if err := a.addLibrary(path); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) addLibrary(path string) error {
	if a.Has(path) {
		return nil
	}
	return a.Copy(path, path)
}

// searchPath is that of ld.so(8), without LD_LIBRARY_PATH and the cache.
func searchPath(host string, f *elf.File) ([]string, error) {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			return nil, fmt.Errorf("read %v: %w", tag, err)
		}
		for _, v := range values {
			v = strings.ReplaceAll(v, "$ORIGIN", filepath.Dir(host))
			dirs = append(dirs, filepath.SplitList(v)...)
		}
	}
	configured, err := loaderDirs("/etc/ld.so.conf")
	if err != nil {
		return nil, err
	}
	return append(append(dirs, configured...), "/lib64", "/usr/lib64", "/lib", "/usr/lib"), nil
}

// loaderDirs reads ld.so.conf with the files that it includes.
func loaderDirs(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read loader configuration: %w", err)
	}
	var dirs []string
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		switch words := strings.Fields(line); {
		case len(words) == 1:
			dirs = append(dirs, words[0])
		case len(words) == 2 && words[0] == "include":
			included, err := filepath.Glob(words[1])
			if err != nil {
				return nil, fmt.Errorf("read loader configuration %s: %w", file, err)
			}
			for _, f := range included {
				more, err := loaderDirs(f)
				if err != nil {
					return nil, err
				}
				dirs = append(dirs, more...)
			}
		}
	}
	return dirs, nil
}

func find(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("find library %s in %v: %w", name, dirs, fs.ErrNotExist)
}
