//go:build !sessioncache_orders

package fastcache_test

import (
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// The scenarios of orders_*_test.go, in every order of their steps.
func TestOrders(t *testing.T) {
	if testing.Short() || fastcache.Raced {
		t.Skip("builds the package anew, and is run once")
	}
	orders.Check(t, "export_test.go")
}
