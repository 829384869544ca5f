package loading

// Stats are counters of the loads that have ended, and their present state. Hits are counted by the fastcache.Cache, with
// RecordStats.
type Stats struct {
	Loads     uint64 // loads that ended, refreshes and those that waited for their turn in vain included
	Refreshes uint64 // of these, refreshes
	Joined    uint64 // Gets that waited for a load that was under way
	Errors    uint64 // loads that returned an error, or were given up before they ran
	Panics    uint64 // loads that panicked, or whose Weigh did
	Overtaken uint64 // values not kept because their key was removed or stored meanwhile, or nobody waited any more
	Refused   uint64 // values that the fastcache.Cache did not take: too heavy, or it was closed

	UnderWay   int // loads that run or wait for their turn
	KeptErrors int // errors and failed refreshes that are remembered
}

// Stats returns the counters and the present state.
func (c *Cache[V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.mu.stats
	st.KeptErrors = c.attempts.Size()
	return st
}
