// Package faults collects what is wrong with a configuration, so that its user learns of all of it at once.
package faults

import (
	"errors"
	"fmt"
	"strings"
)

// A List has a sentence for each fault, which names the field, its value and what is wanted. The zero value has none.
type List []string

// Add adds a fault.
func (l *List) Add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

// Err returns an error that names them all, with the package's name before, or nil if there are none.
func (l List) Err(pkg string) error {
	switch {
	case len(l) == 0:
		return nil
	case pkg == "":
		return errors.New(strings.Join(l, "; "))
	}
	return errors.New(pkg + ": " + strings.Join(l, "; "))
}
