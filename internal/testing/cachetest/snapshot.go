package cachetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// Snapshot writes a snapshot and reads it into a cache of another layout.
func (s *Subject) Snapshot() (all []model.Entry, err error) {
	var snapshot bytes.Buffer
	if _, err := s.Cache.WriteSnapshot(&snapshot, encodeValue); err != nil {
		return nil, modelError(err)
	}
	to, err := s.another()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for _, set := range s.resized {
		if err := set(to); err != nil {
			return nil, err
		}
	}
	got, err := to.ReadSnapshot(bytes.NewReader(snapshot.Bytes()), decodeValue)
	if err != nil {
		return nil, err
	}
	if got != (fastcache.Restored{Stored: to.Size()}) {
		return nil, fmt.Errorf("ReadSnapshot = %+v; want all stored, and there are %d", got, to.Size())
	}
	return s.content(to), nil
}

// content returns all sessions of a cache, those of a partial key newest first.
func (s *Subject) content(c *fastcache.Cache[uint64]) (all []model.Entry) {
	for partial := range c.Partials() {
		var group []model.Entry
		for e := range c.SelectEntries(partial) {
			group = append(group, s.entry(e))
		}
		if s.scan {
			sortNewestFirst(group)
		}
		all = append(all, group...)
	}
	return all
}

func encodeValue(dst []byte, _ fastcache.Key, v uint64) ([]byte, error) {
	return binary.AppendUvarint(dst, v), nil
}

func decodeValue(_ fastcache.Key, data []byte) (uint64, error) {
	v, size := binary.Uvarint(data)
	if size != len(data) {
		return 0, fmt.Errorf("a value of %d bytes ends after %d", len(data), size)
	}
	return v, nil
}
