package lint

import (
	"fmt"
	"go/ast"
	"testing"
)

// ownKeys are the packages that make caches for others, who say what keys them, or of keys that no peer names.
var ownKeys = map[string]bool{"fastcache": true, "internal/testing/cachetest": true}

// hashes reports caches of keys that a peer may name and that XXHash keys: a peer that knows the hash
// displaces sessions of its choice.
func hashes(src source) (faults []string) {
	for _, f := range src.files {
		if f.test || ownKeys[f.dir] {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isConfig(lit.Type) {
				return true
			}
			for _, elt := range lit.Elts {
				if kv, ok := elt.(*ast.KeyValueExpr); ok && named(kv.Key, "Hash") && named(kv.Value, "SecretHash") {
					return true
				}
			}
			faults = append(faults, fmt.Sprintf("%s: a fastcache.Config without Hash: fastcache.SecretHash", src.at(n)))
			return true
		})
	}
	return faults
}

// isConfig reports whether a type is an instance of fastcache.Config.
func isConfig(typ ast.Expr) bool {
	index, ok := typ.(*ast.IndexExpr)
	if !ok {
		return false
	}
	sel, ok := index.X.(*ast.SelectorExpr)
	return ok && named(sel.X, "fastcache") && sel.Sel.Name == "Config"
}

// named reports whether an expression is an identifier, of whatever package.
func named(e ast.Expr, name string) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == name
	case *ast.SelectorExpr:
		return e.Sel.Name == name
	}
	return false
}

func TestKeysThatPeersNameAreHashedSecretly(t *testing.T) { checkModule(t, hashes) }

func TestHashesReportsBrokenModules(t *testing.T) {
	checkBroken(t, hashes, []brokenModule{{
		name: "a cache under XXHash",
		files: map[string]string{
			"a/a.go":         "package a\nvar _ = fastcache.Config[int]{Hash: fastcache.SecretHash}\nvar _ = fastcache.Config[int]{}\n",
			"a/b.go":         "package a\nvar _ = fastcache.Config[int]{\n\tMaxSessions: 1, Hash: fastcache.XXHash,\n}\nvar _ = other.Config[int]{}\n",
			"a/a_test.go":    "package a\nvar _ = fastcache.Config[int]{}\n",
			"fastcache/a.go": "package fastcache\nvar _ = fastcache.Config[int]{}\n",
		},
		want: []string{
			"a/a.go:3: a fastcache.Config without Hash: fastcache.SecretHash",
			"a/b.go:2: a fastcache.Config without Hash: fastcache.SecretHash",
		},
	}})
}
