// Package replay reads access traces and replays them, for hit ratios.
//
// Formats, each also compressed with gzip:
//
//   - .trace: big-endian 32-bit keys (cache2k);
//   - .lis: lines of "start count ignored number", each count consecutive keys (ARC);
//   - .csv: a header line with a column named key (CacheLib).
package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Trace is a sequence of requests. Keys are numbered from 0 in the order of their first request.
type Trace struct {
	Name     string
	Requests []uint32
	Unique   int
	Made     bool // by a generator, not recorded
}

// Files returns the paths of all traces below the directories. Of files with the same name the
// first counts; a directory that does not exist has none.
func Files(dirs ...string) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !d.IsDir() && decoderOf(path) != nil && !seen[d.Name()] {
				seen[d.Name()] = true
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(nameOf(a), nameOf(b)) })
	return files, nil
}

// nameOf returns a file's name without its extensions.
func nameOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".gz")
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// Read reads a trace, or its first so many requests if limit is not zero.
func Read(path string, limit int) (*Trace, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r io.Reader = bytes.NewReader(b)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	decode := decoderOf(path)
	if decode == nil {
		return nil, fmt.Errorf("%s: unknown format; want .trace, .lis or .csv", path)
	}
	n := newNumbering(nameOf(path), limit)
	if err := decode(bufio.NewReaderSize(r, 1<<20), n); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n.trace(), nil
}

// A decoder adds the requests in r to a trace, until it is full.
type decoder func(r *bufio.Reader, n *numbering) error

func decoderOf(path string) decoder {
	switch filepath.Ext(strings.TrimSuffix(path, ".gz")) {
	case ".trace":
		return decodeWords
	case ".lis":
		return decodeRuns
	case ".csv":
		return decodeCSV
	}
	return nil
}

// A numbering numbers keys as they come.
type numbering struct {
	t       Trace
	numbers map[any]uint32
	limit   int
}

func newNumbering(name string, limit int) *numbering {
	return &numbering{Trace{Name: name}, map[any]uint32{}, limit}
}

// add adds a request and reports whether there may be more.
func (n *numbering) add(key any) bool {
	number, ok := n.numbers[key]
	if !ok {
		number = uint32(len(n.numbers))
		n.numbers[key] = number
	}
	n.t.Requests = append(n.t.Requests, number)
	return n.limit == 0 || len(n.t.Requests) < n.limit
}

func (n *numbering) trace() *Trace {
	n.t.Unique = len(n.numbers)
	return &n.t
}

func decodeWords(r *bufio.Reader, n *numbering) error {
	var word [4]byte
	for {
		if _, err := io.ReadFull(r, word[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if !n.add(binary.BigEndian.Uint32(word[:])) {
			return nil
		}
	}
}

func decodeRuns(r *bufio.Reader, n *numbering) error {
	lines := bufio.NewScanner(r)
	for line := 1; lines.Scan(); line++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 {
			return fmt.Errorf("line %d: %d fields; want a start and a count", line, len(fields))
		}
		start, err1 := strconv.ParseUint(fields[0], 10, 64)
		count, err2 := strconv.ParseUint(fields[1], 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		for key := start; key < start+count; key++ {
			if !n.add(key) {
				return nil
			}
		}
	}
	return lines.Err()
}

func decodeCSV(r *bufio.Reader, n *numbering) error {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = -1
	header, err := rows.Read()
	if err != nil {
		return err
	}
	column := slices.Index(header, "key")
	if column < 0 {
		return errors.New("the header has no column key")
	}
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if column < len(row) && !n.add(row[column]) {
			return nil
		}
	}
}
