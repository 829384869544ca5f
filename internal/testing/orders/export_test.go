package orders

// ExploreAllForTest is Explore, but runs every order, up to a number of them.
func ExploreAllForTest(scenario func(*Run), most int) Result { return explore(scenario, true, most) }

// RewriteForTest is rewrite.
var RewriteForTest = rewrite
