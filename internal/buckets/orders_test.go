//go:build !sessioncache_orders

package buckets_test

import (
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// The scenarios of orders_scenarios_test.go, in every order of their steps.
func TestOrders(t *testing.T) {
	skipOrders(t)
	orders.Check(t)
}

func skipOrders(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the package anew, and is run once")
	}
}
