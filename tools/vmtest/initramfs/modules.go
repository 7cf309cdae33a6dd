// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Modules are the kernel modules below a /lib/modules/VERSION directory. They
// are read as they lie: depmod(8) need not have run.
type Modules struct {
	dir     string
	paths   map[string]string // name to path
	builtin map[string]bool
}

// OpenModules indexes a module directory.
func OpenModules(dir string) (*Modules, error) {
	m := &Modules{dir: dir, paths: make(map[string]string), builtin: make(map[string]bool)}
	data, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list built-in modules: %w", err)
	}
	for _, path := range strings.Fields(string(data)) {
		m.builtin[moduleName(path)] = true
	}
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".ko") {
			m.paths[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	return m, nil
}

// Glob returns the names of the modules that match a pattern of path.Match.
func (m *Modules) Glob(pattern string) ([]string, error) {
	var names []string
	for name := range m.paths {
		ok, err := filepath.Match(pattern, name)
		if err != nil {
			return nil, fmt.Errorf("list modules %s: %w", pattern, err)
		}
		if ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// Resolve returns the files of the named modules and of all that they depend
// on, in an order in which they can be loaded. Built-in ones have no file.
func (m *Modules) Resolve(names ...string) ([]string, error) {
	var files []string
	seen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		name = moduleName(name)
		if seen[name] || m.builtin[name] {
			return nil
		}
		seen[name] = true
		path, ok := m.paths[name]
		if !ok {
			return fmt.Errorf("find module %s in %s: %w", name, m.dir, fs.ErrNotExist)
		}
		needs, err := dependencies(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return fmt.Errorf("%s needs: %w", name, err)
			}
		}
		files = append(files, path)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// dependencies reads depends= from the .modinfo of a module.
func dependencies(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open module: %w", err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %s has no .modinfo", path)
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read .modinfo of %s: %w", path, err)
	}
	return parseModinfo(data), nil
}

func parseModinfo(data []byte) []string {
	var names []string
	for _, field := range bytes.Split(data, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		if key == "depends" {
			names = append(names, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		}
	}
	return names
}

// moduleName is the name of a module file as the kernel spells it.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}
